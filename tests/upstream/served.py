"""A real MCP server as a child process: the official SDK's own HTTP app; its tools wait, and tell what they saw."""

import argparse
import asyncio
from typing import Any

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from tests.conformance.alone import RETRY_MS, Remembering


def build() -> MCPServer[Any]:
    """Return the server."""
    server: MCPServer[Any] = MCPServer("served", version="2.5")
    outcomes: dict[str, str] = {}
    seen: list[dict[str, str]] = []

    @server.tool()
    async def echo(text: str, ctx: Context[Any, Any]) -> str:
        request = ctx.request_context.request
        assert isinstance(request, Request)
        seen.append(dict(request.headers))
        await asyncio.sleep(0)
        return text

    @server.tool()
    async def count(to: int, ctx: Context[Any, Any]) -> str:
        for step in range(to):
            await ctx.report_progress(step + 1, to)
        return f"counted {to}"

    @server.tool()
    async def hold(key: str, ctx: Context[Any, Any]) -> str:
        outcomes[key] = "running"
        await ctx.report_progress(1, 2)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            outcomes[key] = "cancelled"
            raise
        return "never"

    @server.tool()
    async def outcome(key: str) -> str:
        return outcomes.get(key, "unknown")

    @server.tool()
    async def headers_seen() -> str:
        return repr(seen)

    @server.resource("held://text")
    def held() -> str:
        return "a text"

    return server


async def _ready(_: Request) -> PlainTextResponse:
    return PlainTextResponse("ready")


def main() -> None:
    """Serve on the loopback until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    app = build().streamable_http_app(event_store=Remembering(), retry_interval=RETRY_MS)
    app.add_route("/ready", _ready)
    uvicorn.run(app, host="127.0.0.1", port=parser.parse_args().port, log_level="warning", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
