"""A team notebook: an MCP server worth having, and an example of everything a server can do.

    portside serve examples/notebook/server.py

The notes live in one SQLite file, `NOTEBOOK_DB`, by default data/notebook.db.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from mcp.server.mcpserver import AcceptedElicitation, Context, Elicit, ElicitationResult, MCPServer, Resolve
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError
from mcp_types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    PromptReference,
    ResourceTemplateReference,
    ToolAnnotations,
)
from pydantic import BaseModel, Field
from store import Note, Store

READ_ONLY = ToolAnnotations(read_only_hint=True, idempotent_hint=True)
DESTRUCTIVE = ToolAnnotations(destructive_hint=True, idempotent_hint=True)


@asynccontextmanager
async def open_store(_: MCPServer[Store]) -> AsyncGenerator[Store]:
    """Open the notes once, for all clients."""
    store = Store(Path(os.environ.get("NOTEBOOK_DB", "data/notebook.db")))
    try:
        yield store
    finally:
        store.close()


server = MCPServer(
    "notebook",
    version="1.0",
    instructions="Search before you add. Deleting asks the user.",
    lifespan=open_store,
)

Ctx = Context[Store, object]


def store_of(ctx: Ctx) -> Store:
    """Return the notes that `open_store` opened."""
    return ctx.request_context.lifespan_context


# -- tools ------------------------------------------------------------------------------------------


@server.tool(annotations=READ_ONLY)
def search_notes(
    query: str, ctx: Ctx, tag: str | None = None, limit: Annotated[int, Field(ge=1, le=100)] = 20
) -> list[Note]:
    """Find the newest notes that contain every word of the query; an empty query finds all."""
    return store_of(ctx).search(query, tag=tag, limit=limit)


@server.tool()
async def add_note(
    title: Annotated[str, Field(min_length=1, max_length=200)], body: str, ctx: Ctx, tags: list[str] | None = None
) -> Note:
    """Write a note down."""
    note = store_of(ctx).add(title, body, tags or [])
    await ctx.notify_resources_changed()
    return note


@server.tool()
async def import_notes(lines: Annotated[list[str], Field(min_length=1, max_length=1000)], ctx: Ctx) -> str:
    """Add one note per line, `title: body`, and report progress on the way."""
    for done, line in enumerate(lines, 1):
        title, _, body = line.partition(":")
        store_of(ctx).add(title.strip() or "untitled", body.strip(), ["imported"])
        await ctx.report_progress(done, len(lines), f"added {title.strip()!r}")
    await ctx.notify_resources_changed()
    return f"{len(lines)} notes imported"


class Sure(BaseModel):
    """What the user is asked before something is gone."""

    sure: bool = Field(description="Really delete it?")


def ask_before_deleting(id: int, ctx: Ctx) -> Elicit[Sure]:
    """Ask the user, in either protocol era: the SDK and portside see to how."""
    return Elicit(f"Delete note {id}, {existing(ctx, id).title!r}?", Sure)


@server.tool(annotations=DESTRUCTIVE)
async def delete_note(
    id: int, answer: Annotated[ElicitationResult[Sure], Resolve(ask_before_deleting)], ctx: Ctx
) -> str:
    """Delete a note, after asking the user."""
    if not (isinstance(answer, AcceptedElicitation) and answer.data.sure):
        return f"note {id} kept"
    store_of(ctx).delete(id)
    await ctx.notify_resources_changed()
    return f"note {id} deleted"


class NewTitle(BaseModel):
    """What the user is asked when a note gets a new name."""

    title: str = Field(min_length=1, max_length=200)


@server.tool()
async def rename_note(id: int, ctx: Ctx) -> str:
    """Ask the user for a better title. Asks in the middle of the call, as servers did before 2026-07-28."""
    note = existing(ctx, id)
    answer = await ctx.elicit(f"A new title for {note.title!r}?", NewTitle)
    if answer.action != "accept":
        return f"note {id} keeps its title"
    store_of(ctx).rename(id, answer.data.title)
    await ctx.notify_resource_updated(f"notes://note/{id}")
    return f"note {id} is now {answer.data.title!r}"


def existing(ctx: Ctx, id: int) -> Note:
    """Return a note, or tell the model that there is none."""
    try:
        return store_of(ctx).get(id)
    except KeyError as error:
        raise ToolError(f"there is no note {id}") from error


# -- resources and prompts --------------------------------------------------------------------------


@server.resource("notes://tag/{tag}", mime_type="text/plain")
def tagged(tag: str, ctx: Ctx) -> str:
    """The notes with a tag, one a line."""
    return "\n".join(f"{note.id}\t{note.title}" for note in store_of(ctx).search("", tag=tag, limit=100))


@server.resource("notes://note/{id}", mime_type="text/markdown")
def note(id: str, ctx: Ctx) -> str:
    """One note as Markdown."""
    try:
        found = store_of(ctx).get(int(id))
    except (KeyError, ValueError) as error:
        raise ResourceNotFoundError(f"there is no note {id!r}") from error
    return f"# {found.title}\n\n{found.body}\n"


@server.prompt()
def summarise_tag(tag: str, ctx: Ctx) -> str:
    """Ask for a summary of all notes with a tag."""
    notes = store_of(ctx).search("", tag=tag, limit=100)
    return "\n\n".join([f"Summarise our notes tagged {tag!r}:", *(f"## {one.title}\n{one.body}" for one in notes)])


@server.completion()
async def complete(
    ref: PromptReference | ResourceTemplateReference, argument: CompletionArgument, context: CompletionContext | None
) -> Completion | None:
    """Complete the tags that the seeded notes use."""
    if not (isinstance(ref, PromptReference) and ref.name == "summarise_tag"):
        return None
    known = ["database", "imported", "office", "oncall", "release"]
    return Completion(values=[tag for tag in known if tag.startswith(argument.value)])
