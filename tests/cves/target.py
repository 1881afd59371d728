"""The server that the regressions are run against: it repeats, tells, fails, and says what it can see."""

import json
import os
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

server: MCPServer[Any] = MCPServer("target", version="1")


@server.tool()
async def echo(text: str) -> str:
    return text


@server.tool()
async def echo_any(value: dict[str, Any]) -> str:
    return json.dumps(value)


@server.tool()
async def add(values: list[int]) -> str:
    return str(sum(values))


@server.tool()
async def tell(text: str, ctx: Context[Any, Any]) -> str:
    """Say `text` in a message of a stream, and once more as the result."""
    await ctx.report_progress(1, 2, text)
    return text


@server.tool()
async def environment(name: str) -> str:
    return os.environ.get(name, "")


@server.tool()
async def privileged() -> str:
    return "done"


@server.custom_route("/files/{name}", methods=["GET"])
async def file(request: Request) -> Response:
    return PlainTextResponse(request.path_params["name"])


@server.custom_route("/seen", methods=["GET"])
async def seen(request: Request) -> Response:
    """Tell what this request looks like from inside."""
    client = request.client.host if request.client else None
    return JSONResponse({"client": client, "url": str(request.url), "headers": dict(request.headers)})


@server.custom_route("/said", methods=["GET"])
async def said(request: Request) -> Response:
    return PlainTextResponse("said", headers={"x-said": request.query_params["text"]})


@server.custom_route("/boom", methods=["GET"])
async def boom(request: Request) -> Response:
    raise ValueError("postgresql://app:canary-in-an-exception@db/app")
