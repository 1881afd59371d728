"""Tools that take a lot, for tests of how large bodies are taken: what comes in is counted, and nothing goes out."""

import asyncio
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel

server: MCPServer[Any] = MCPServer("bulky", version="1")


class Point(BaseModel):
    x: int


@server.tool()
async def numbers(values: list[int]) -> int:
    return len(values)


@server.tool()
async def maybe(values: list[int] | None) -> int:
    return len(values or [])


@server.tool()
async def points(values: list[Point]) -> int:
    return len(values)


@server.tool()
async def numbers_aloud(values: list[int], ctx: Context[Any, Any]) -> int:
    await ctx.report_progress(1, 1)
    return len(values)


@server.tool()
async def echo(text: str) -> str:
    await asyncio.sleep(0)
    return text
