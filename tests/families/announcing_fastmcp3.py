"""A fastmcp 3 server with subscriptions of its lowlevel one, and a tool that shows one session more tools."""
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportCallIssue=false
# The checker's environment has fastmcp 4 and SDK v2.

from typing import Any

from fastmcp import Context, FastMCP

from portside.hosting.python.fastmcp_v3 import FastmcpV3Host
from tests.families import announcing_v1

host = FastmcpV3Host


def build() -> Any:
    """Return the server: `grow` tells the calling session of new tools, `touch` every subscriber of an update."""
    server = FastMCP("announcing-fastmcp3")
    announcing_v1.subscribe_in(server._mcp_server)

    @server.tool
    async def grow(ctx: Context) -> str:
        await ctx.enable_components(tags={"more"})
        return "grown"

    @server.tool
    async def touch(uri: str) -> str:
        await announcing_v1.touch(server._mcp_server, uri)
        return "touched"

    return server
