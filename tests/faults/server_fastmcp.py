"""What `tests.faults.server` serves, on fastmcp; as a script, the same over stdio."""

import mcp_types
from fastmcp import Context, FastMCP
from mcp_types import ToolAnnotations

from tests.faults import runs
from tests.faults.runs import Word

server = FastMCP("faults")
reads = ToolAnnotations(read_only_hint=True)

server.tool(annotations=reads)(runs.add)
server.tool(annotations=reads)(runs.whoami)
server.tool(runs.effect)
server.tool(annotations=ToolAnnotations(idempotent_hint=True))(runs.effect_idempotent)
server.resource("note://{name}")(runs.note)


@server.tool
async def slow(id: str, seconds: float, steps: int, ctx: Context) -> str:
    return await runs.taken("slow", id, seconds, steps, ctx.report_progress)


@server.tool(annotations=reads)
async def slow_read(id: str, seconds: float, steps: int, ctx: Context) -> str:
    return await runs.taken("slow_read", id, seconds, steps, ctx.report_progress)


@server.tool
async def ask(id: str, ctx: Context) -> str:
    answer = await ctx.elicit(f"a word for {id}?", Word)
    return runs.told("ask", id, answer.data.word if answer.action == "accept" else answer.action)


@server.tool
async def notify_tools_changed(ctx: Context) -> str:
    await ctx.send_notification(mcp_types.ToolListChangedNotification())
    return "told"


@server.tool
async def touch_resource(uri: str, ctx: Context) -> str:
    params = mcp_types.ResourceUpdatedNotificationParams(uri=uri)
    await ctx.send_notification(mcp_types.ResourceUpdatedNotification(params=params))
    return uri


if __name__ == "__main__":
    server.run("stdio", show_banner=False)
