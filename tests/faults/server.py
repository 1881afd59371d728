"""What the replicas serve: tools that leave a trace of each run, on SDK v2; as a script, the same over stdio."""

from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import ToolAnnotations

from tests.faults import runs
from tests.faults.runs import Word

server: MCPServer[Any] = MCPServer("faults", version="1")
reads = ToolAnnotations(read_only_hint=True)

server.tool(annotations=reads)(runs.add)
server.tool(annotations=reads)(runs.whoami)
server.tool()(runs.effect)
server.tool(annotations=ToolAnnotations(idempotent_hint=True))(runs.effect_idempotent)
server.resource("note://{name}")(runs.note)


@server.tool()
async def slow(id: str, seconds: float, steps: int, ctx: Context[Any, Any]) -> str:
    """Take a while and say so in numbered steps; it must not be done twice."""
    return await runs.taken("slow", id, seconds, steps, ctx.report_progress)


@server.tool(annotations=reads)
async def slow_read(id: str, seconds: float, steps: int, ctx: Context[Any, Any]) -> str:
    """Take a while and say so in numbered steps; it may be done again."""
    return await runs.taken("slow_read", id, seconds, steps, ctx.report_progress)


@server.tool()
async def ask(id: str, ctx: Context[Any, Any]) -> str:
    """Ask the user for a word, then do something with it that must not be done twice."""
    answer = await ctx.elicit(f"a word for {id}?", Word)
    return runs.told("ask", id, answer.data.word if answer.action == "accept" else answer.action)


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


if __name__ == "__main__":
    server.run("stdio")
