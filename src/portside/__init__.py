"""portside runs somebody's MCP server in production."""
