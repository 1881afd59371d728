"""Its lifespan raises."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from mcp.server.mcpserver import MCPServer


@asynccontextmanager
async def lifespan(_: MCPServer[Any]) -> AsyncGenerator[dict[str, Any]]:
    raise ConnectionError("database refused")
    yield {}


server: MCPServer[Any] = MCPServer("failing", lifespan=lifespan)
