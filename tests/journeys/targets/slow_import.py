"""Takes its time to import."""

import time
from typing import Any

time.sleep(3)

from mcp.server.mcpserver import MCPServer  # noqa: E402 - that the import is late is the point

server: MCPServer[Any] = MCPServer("slow")
