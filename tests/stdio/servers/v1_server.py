"""Servers of the official SDK v1, which is not the one installed beside portside: so their types are unknown here."""

import importlib
import os
from typing import Any

served: Any = importlib.import_module("mcp.server.fastmcp").FastMCP("printing-v1")
low: Any = importlib.import_module("mcp.server.lowlevel").Server("low-v1")
types: Any = importlib.import_module("mcp.types")


def shout(text: str) -> str:
    """Say it loudly, and print on the way."""
    print("printed by a tool", flush=True)
    os.write(1, b"written by a tool\n")
    return text.upper()


async def list_tools() -> Any:
    print("printed by a handler", flush=True)
    return [types.Tool(name="low", inputSchema={"type": "object"})]


served.tool()(shout)
low.list_tools()(list_tools)
