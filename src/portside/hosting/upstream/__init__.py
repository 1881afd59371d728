"""Servers that speak MCP over HTTP themselves: far away, or as an ASGI app of this process."""
