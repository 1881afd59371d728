"""What the replicas serve: tools that leave a trace of each run, on SDK v2; as a script, the same over stdio."""

import asyncio
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import ToolAnnotations
from pydantic import BaseModel

from tests.faults.effects import place, record

server: MCPServer[Any] = MCPServer("faults", version="1")


class Word(BaseModel):
    word: str


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
async def add(a: int, b: int) -> str:
    return str(a + b)


@server.tool()
async def effect(id: str, seconds: float = 0) -> str:
    """Do something that must not be done twice."""
    record("effect", id)
    await asyncio.sleep(seconds)
    return id


@server.tool(annotations=ToolAnnotations(idempotent_hint=True))
async def effect_idempotent(id: str, seconds: float = 0) -> str:
    """Do something that may be done again."""
    record("effect_idempotent", id)
    await asyncio.sleep(seconds)
    return id


@server.tool()
async def slow(id: str, seconds: float, steps: int, ctx: Context[Any, Any]) -> str:
    """Take a while and say so in numbered steps; it must not be done twice."""
    record("slow", id)
    return await take(id, seconds, steps, ctx)


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
async def slow_read(id: str, seconds: float, steps: int, ctx: Context[Any, Any]) -> str:
    """Take a while and say so in numbered steps; it may be done again."""
    record("slow_read", id)
    return await take(id, seconds, steps, ctx)


async def take(id: str, seconds: float, steps: int, ctx: Context[Any, Any]) -> str:
    for number in range(1, steps + 1):
        await ctx.report_progress(number, steps, f"{id} {number}")
        await asyncio.sleep(seconds / steps)
    return id


@server.tool()
async def ask(id: str, ctx: Context[Any, Any]) -> str:
    """Ask the user for a word, then do something with it that must not be done twice."""
    answer = await ctx.elicit(f"a word for {id}?", Word)
    record("ask", id)
    return f"{id} {answer.data.word}" if answer.action == "accept" else f"{id} {answer.action}"


@server.tool()
async def notify_tools_changed(ctx: Context[Any, Any]) -> str:
    await ctx.session.send_tool_list_changed()
    await ctx.notify_tools_changed()
    return "told"


@server.tool()
async def touch_resource(uri: str, ctx: Context[Any, Any]) -> str:
    await ctx.session.send_resource_updated(uri)
    await ctx.notify_resource_updated(uri)
    return uri


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
async def whoami() -> str:
    return place()


@server.resource("note://{name}")
def note(name: str) -> str:
    return f"the note {name}"


if __name__ == "__main__":
    server.run("stdio")
