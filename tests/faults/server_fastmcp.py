"""What `tests.faults.server` serves, on fastmcp; as a script, the same over stdio."""

import asyncio

import mcp_types
from fastmcp import Context, FastMCP
from mcp_types import ToolAnnotations
from pydantic import BaseModel

from tests.faults.effects import place, record

server = FastMCP("faults")
reads = ToolAnnotations(read_only_hint=True)


class Word(BaseModel):
    word: str


@server.tool(annotations=reads)
async def add(a: int, b: int) -> str:
    return str(a + b)


@server.tool
async def effect(id: str, seconds: float = 0) -> str:
    record("effect", id)
    await asyncio.sleep(seconds)
    return id


@server.tool(annotations=ToolAnnotations(idempotent_hint=True))
async def effect_idempotent(id: str, seconds: float = 0) -> str:
    record("effect_idempotent", id)
    await asyncio.sleep(seconds)
    return id


@server.tool
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


@server.tool
async def ask(id: str, ctx: Context) -> str:
    answer = await ctx.elicit(f"a word for {id}?", Word)
    record("ask", id)
    return f"{id} {answer.data.word}" if answer.action == "accept" else f"{id} {answer.action}"


@server.tool
async def notify_tools_changed(ctx: Context) -> str:
    await ctx.send_notification(mcp_types.ToolListChangedNotification())
    return "told"


@server.tool
async def touch_resource(uri: str, ctx: Context) -> str:
    params = mcp_types.ResourceUpdatedNotificationParams(uri=uri)
    await ctx.send_notification(mcp_types.ResourceUpdatedNotification(params=params))
    return uri


@server.tool(annotations=reads)
async def whoami() -> str:
    return place()


@server.resource("note://{name}")
def note(name: str) -> str:
    return f"the note {name}"


if __name__ == "__main__":
    server.run("stdio", show_banner=False)
