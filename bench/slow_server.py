"""A user's server that takes three seconds to import: `/health` has to answer long before that."""

import time

from mcp.server.mcpserver import MCPServer

time.sleep(3)

mcp = MCPServer("slow")
