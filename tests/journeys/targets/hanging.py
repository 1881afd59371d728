"""Enters its lifespan and never gets anywhere."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from mcp.server.mcpserver import MCPServer


@asynccontextmanager
async def lifespan(_: MCPServer[Any]) -> AsyncGenerator[dict[str, Any]]:
    await asyncio.Event().wait()
    yield {}


server: MCPServer[Any] = MCPServer("hanging", lifespan=lifespan)
