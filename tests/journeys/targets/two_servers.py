"""Two servers, neither of which is the obvious one."""

from typing import Any

from mcp.server.mcpserver import MCPServer

first: MCPServer[Any] = MCPServer("first")
second: MCPServer[Any] = MCPServer("second")


def build() -> MCPServer[Any]:
    """Return a third."""
    return MCPServer("third")
