"""The user's server of the benchmark: one object, served unchanged by every side."""

from mcp.server.mcpserver import MCPServer

mcp = MCPServer("bench")


@mcp.tool()
async def echo(text: str) -> str:
    """Give back what was said."""
    return text


@mcp.tool()
def echo_sync(text: str) -> str:
    """Give back what was said, from a plain function."""
    return text
