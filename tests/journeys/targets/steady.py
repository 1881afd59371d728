"""A server whose tools wait, block and echo, for tests of the process around it."""

import asyncio
import time
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from starlette.requests import Request
from starlette.responses import PlainTextResponse

server: MCPServer[Any] = MCPServer("steady", version="1")


@server.tool()
async def echo(text: str) -> str:
    return text


@server.tool()
async def wait(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "waited"


@server.tool()
async def wait_aloud(seconds: float, ctx: Context[Any, Any]) -> str:
    await ctx.report_progress(1, 2)
    await asyncio.sleep(seconds)
    return "waited"


@server.tool()
def block(seconds: float) -> str:
    time.sleep(seconds)
    return "blocked"


@server.custom_route("/own/{name}", methods=["GET"])
async def own(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"hello {request.path_params['name']}")
