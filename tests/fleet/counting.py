"""A server whose tools leave a mark for every time they ran, for counting what a fleet did."""

import asyncio
import os
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import Context, MCPServer

server: MCPServer[Any] = MCPServer("counting", version="1")


def mark(text: str) -> None:
    """Append a line at once, so that many processes may."""
    descriptor = os.open(Path(os.environ["COUNTING_FILE"]), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{text}\n".encode())
    os.close(descriptor)


@server.tool()
async def note(text: str) -> str:
    mark(text)
    return text


@server.tool()
async def stream(text: str, seconds: float, ctx: Context[Any, Any]) -> str:
    await ctx.report_progress(1, 2)
    await asyncio.sleep(seconds)
    mark(text)
    return text


@server.tool()
async def whoami() -> str:
    return os.environ.get("SERVER_ID", "")


if os.environ.get("COUNTING_BROKEN") and Path(os.environ["COUNTING_BROKEN"]).exists():
    raise RuntimeError("broken on purpose")
