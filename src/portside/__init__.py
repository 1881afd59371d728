"""portside runs somebody's MCP server in production."""

__version__ = "0.1.0"
