"""What `tests.faults.server` serves, on SDK v1: for replicas of its own environment, or a stdio child as a script."""
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportCallIssue=false
# The checker's environment has SDK v2, which lacks these modules.

from mcp.server.fastmcp import Context, FastMCP
from mcp.types import ToolAnnotations
from pydantic import AnyUrl

from tests.faults import runs
from tests.faults.runs import Word

server = FastMCP("faults")
reads = ToolAnnotations(readOnlyHint=True)

server.tool(annotations=reads)(runs.add)
server.tool(annotations=reads)(runs.whoami)
server.tool()(runs.effect)
server.tool(annotations=ToolAnnotations(idempotentHint=True))(runs.effect_idempotent)
server.resource("note://{name}")(runs.note)


@server.tool()
async def slow(id: str, seconds: float, steps: int, ctx: Context) -> str:
    return await runs.taken("slow", id, seconds, steps, ctx.report_progress)


@server.tool(annotations=reads)
async def slow_read(id: str, seconds: float, steps: int, ctx: Context) -> str:
    return await runs.taken("slow_read", id, seconds, steps, ctx.report_progress)


@server.tool()
async def ask(id: str, ctx: Context) -> str:
    answer = await ctx.elicit(f"a word for {id}?", schema=Word)
    return runs.told("ask", id, answer.data.word if answer.action == "accept" else answer.action)


@server.tool()
async def notify_tools_changed(ctx: Context) -> str:
    await ctx.session.send_tool_list_changed()
    return "told"


@server.tool()
async def touch_resource(uri: str, ctx: Context) -> str:
    await ctx.session.send_resource_updated(AnyUrl(uri))
    return uri


if __name__ == "__main__":
    server.run("stdio")
