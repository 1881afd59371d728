"""What `tests.faults.server` serves, on SDK v1: for replicas of its own environment, or a stdio child as a script."""
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportCallIssue=false
# The checker's environment has SDK v2, which lacks these modules.

import asyncio

from mcp.server.fastmcp import Context, FastMCP
from mcp.types import ToolAnnotations
from pydantic import AnyUrl, BaseModel

from tests.faults.effects import place, record

server = FastMCP("faults")
reads = ToolAnnotations(readOnlyHint=True)


class Word(BaseModel):
    word: str


@server.tool(annotations=reads)
async def add(a: int, b: int) -> str:
    return str(a + b)


@server.tool()
async def effect(id: str, seconds: float = 0) -> str:
    record("effect", id)
    await asyncio.sleep(seconds)
    return id


@server.tool(annotations=ToolAnnotations(idempotentHint=True))
async def effect_idempotent(id: str, seconds: float = 0) -> str:
    record("effect_idempotent", id)
    await asyncio.sleep(seconds)
    return id


@server.tool()
async def slow(id: str, seconds: float, steps: int, ctx: Context) -> str:
    record("slow", id)
    return await take(id, seconds, steps, ctx)


@server.tool(annotations=reads)
async def slow_read(id: str, seconds: float, steps: int, ctx: Context) -> str:
    record("slow_read", id)
    return await take(id, seconds, steps, ctx)


async def take(id: str, seconds: float, steps: int, ctx: Context) -> str:
    for number in range(1, steps + 1):
        await ctx.report_progress(number, steps, f"{id} {number}")
        await asyncio.sleep(seconds / steps)
    return id


@server.tool()
async def ask(id: str, ctx: Context) -> str:
    answer = await ctx.elicit(f"a word for {id}?", schema=Word)
    record("ask", id)
    return f"{id} {answer.data.word}" if answer.action == "accept" else f"{id} {answer.action}"


@server.tool()
async def notify_tools_changed(ctx: Context) -> str:
    await ctx.session.send_tool_list_changed()
    return "told"


@server.tool()
async def touch_resource(uri: str, ctx: Context) -> str:
    await ctx.session.send_resource_updated(AnyUrl(uri))
    return uri


@server.tool(annotations=reads)
async def whoami() -> str:
    return place()


@server.resource("note://{name}")
def note(name: str) -> str:
    return f"the note {name}"


if __name__ == "__main__":
    server.run("stdio")
