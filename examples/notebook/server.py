"""A team notebook: an MCP server worth having, and an example of everything a server can do.

    portside serve examples/notebook/server.py

The notes live in one SQLite file, `NOTEBOOK_DB`, by default data/notebook.db.
"""

import logging
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from anyio import to_thread
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

READS = ToolAnnotations(read_only_hint=True, idempotent_hint=True)
ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False)
RENAMES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=False)
DELETES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True)

Title = Annotated[str, Field(min_length=1, max_length=200)]
Limit = Annotated[int, Field(ge=1, le=100, description="The most notes to return")]

log = logging.getLogger("notebook")
store = Store()


@asynccontextmanager
async def open_store(_: MCPServer[None]) -> AsyncGenerator[None]:
    """Open the notes once, for all clients, and close them at the end."""
    store.open(Path(os.environ.get("NOTEBOOK_DB", "data/notebook.db")))
    try:
        yield
    finally:
        store.close()


server = MCPServer(
    "notebook",
    version="1.0",
    instructions="Search before you add. Deleting and renaming ask the user.",
    lifespan=open_store,
)


def existing(id: int) -> Note:
    """Return a note, or tell the model that there is none."""
    try:
        return store.get(id)
    except KeyError as error:
        raise ToolError(f"there is no note {id}") from error


async def tell_changed(ctx: Context, id: int) -> None:
    """Tell subscribers of this note, and those of the index that lists it."""
    await ctx.notify_resource_updated(f"notes://note/{id}")
    await ctx.notify_resource_updated("notes://index")


# -- tools: the sync ones run in worker threads, the async ones send their slow work there ----------------------------


@server.tool(annotations=READS)
def search_notes(query: str, limit: Limit = 20) -> list[Note]:
    """Find the newest notes that have every word of the query; an empty query finds all."""
    return store.search(query, limit=limit)


@server.tool(annotations=READS)
def list_notes(tag: str | None = None, limit: Limit = 20) -> list[Note]:
    """List the newest notes, or the newest with a tag."""
    return store.newest(tag=tag, limit=limit)


@server.tool(annotations=ADDS)
async def add_note(title: Title, body: str, ctx: Context, tags: list[str] | None = None) -> Note:
    """Write a note down."""
    note = await to_thread.run_sync(store.add, title, body, tags or [])
    await ctx.notify_resources_changed()
    await tell_changed(ctx, note.id)
    return note


class Imported(BaseModel):
    """What an import came to."""

    count: int
    ids: list[int]


@server.tool(annotations=ADDS)
async def import_notes(
    lines: Annotated[list[Annotated[str, Field(max_length=10_000)]], Field(min_length=1, max_length=1000)], ctx: Context
) -> Imported:
    """Add one note per line, `title: body`, and report progress on the way."""
    ids: list[int] = []
    for done, line in enumerate(lines, 1):
        title, _, body = line.partition(":")
        note = await to_thread.run_sync(store.add, title.strip()[:200] or "untitled", body.strip(), ["imported"])
        ids.append(note.id)
        await ctx.report_progress(done, len(lines), f"added {note.title!r}")
    log.info("imported %d notes", len(ids))
    await ctx.notify_resources_changed()
    return Imported(count=len(ids), ids=ids)


class Sure(BaseModel):
    """What the user is asked before something is gone."""

    sure: bool = Field(description="Really delete it?")


def ask_before_deleting(id: int) -> Elicit[Sure]:
    """Ask the user. This is written once and works in either protocol era."""
    return Elicit(f"Delete note {id}, {existing(id).title!r}?", Sure)


@server.tool(annotations=DELETES)
async def delete_note(
    id: int, answer: Annotated[ElicitationResult[Sure], Resolve(ask_before_deleting)], ctx: Context
) -> str:
    """Delete a note, after asking the user."""
    if not (isinstance(answer, AcceptedElicitation) and answer.data.sure):
        return f"note {id} kept"
    await to_thread.run_sync(store.delete, id)
    await ctx.notify_resources_changed()
    await tell_changed(ctx, id)
    return f"note {id} deleted"


class NewTitle(BaseModel):
    """What the user is asked when a note gets a new name."""

    title: str = Field(min_length=1, max_length=200)


@server.tool(annotations=RENAMES)
async def rename_note(id: int, ctx: Context) -> str:
    """Ask the user for a better title. Asks in the middle of the call, as servers did before 2026-07-28."""
    answer = await ctx.elicit(f"A new title for {existing(id).title!r}?", NewTitle)
    if not isinstance(answer, AcceptedElicitation):
        return f"note {id} keeps its title"
    note = await to_thread.run_sync(store.rename, id, answer.data.title)
    await tell_changed(ctx, id)
    return f"note {id} is now {note.title!r}"


# -- resources, a prompt, completion ----------------------------------------------------------------------------------


@server.resource("notes://index", mime_type="text/plain")
def index() -> str:
    """The newest hundred notes, one a line: id and title."""
    return "\n".join(f"{note.id}\t{note.title}" for note in store.newest(limit=100))


@server.resource("notes://note/{id}", mime_type="text/markdown")
def note(id: str) -> str:
    """One note as Markdown."""
    try:
        found = store.get(int(id))
    except (KeyError, ValueError) as error:
        raise ResourceNotFoundError(f"there is no note {id!r}") from error
    return f"# {found.title}\n\n{found.body}\n"


@server.prompt()
def summarise_tag(tag: str) -> str:
    """Ask for a summary of all notes with a tag."""
    notes = [f"## {note.title}\n{note.body}" for note in store.newest(tag=tag, limit=100)]
    return "\n\n".join([f"Summarise our notes tagged {tag!r}:", *notes])


@server.completion()
async def complete(
    ref: PromptReference | ResourceTemplateReference, argument: CompletionArgument, _: CompletionContext | None
) -> Completion | None:
    """Complete a tag with those in use, a note's id with those there are."""
    match ref, argument.name:
        case PromptReference(name="summarise_tag"), "tag":
            known = await to_thread.run_sync(store.tags)
        case ResourceTemplateReference(uri="notes://note/{id}"), "id":
            known = [str(note.id) for note in await to_thread.run_sync(store.newest)]
        case _:
            return None
    found = [value for value in known if value.startswith(argument.value)]
    return Completion(values=found[:100], total=len(found), has_more=len(found) > 100)
