"""A server that counts what reaches it, fails, redirects, and says more than anybody reads."""

from collections import Counter
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

server: MCPServer[Any] = MCPServer("counting", version="1")
hits: Counter[str] = Counter()


@server.custom_route("/hit/{name}", methods=["GET", "POST"])
async def hit(request: Request) -> Response:
    name = request.path_params["name"]
    hits[name] += 1
    return PlainTextResponse(f"hit {name}")


@server.custom_route("/hits", methods=["GET"])
async def every_hit(_: Request) -> Response:
    return JSONResponse(dict(hits))


@server.custom_route("/moved", methods=["GET"])
async def moved(_: Request) -> Response:
    return RedirectResponse("/hit/moved", status_code=302)


@server.custom_route("/boom", methods=["GET"])
async def boom(_: Request) -> Response:
    raise ValueError("on purpose")


@server.custom_route("/large", methods=["GET"])
async def large(_: Request) -> Response:
    return Response(b"x" * 8_000_000, media_type="application/octet-stream")


@server.tool()
async def echo(text: str) -> str:
    return text


@server.tool()
async def pour(size: int, count: int, ctx: Context[Any, Any]) -> str:
    """Report progress `count` times with `size` bytes each."""
    for number in range(count):
        await ctx.report_progress(number, count, "x" * size)
    return "poured"
