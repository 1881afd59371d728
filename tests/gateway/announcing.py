"""A server of the official SDK v2 that announces on its subscription bus: imported, or run as a child on stdio."""

from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.subscriptions import SubscriptionBus


def build(bus: SubscriptionBus | None = None) -> MCPServer[Any]:
    """Return a server with a tool that announces new tools, and one that announces an update."""
    server: MCPServer[Any] = MCPServer("announcing", subscriptions=bus)

    @server.tool()
    async def grow(ctx: Context[Any, Any]) -> str:
        await ctx.notify_tools_changed()
        return "grown"

    @server.tool()
    async def touch(uri: str, ctx: Context[Any, Any]) -> str:
        await ctx.notify_resource_updated(uri)
        return "touched"

    return server


if __name__ == "__main__":
    build().run()
