"""Call the notebook as a client would: python examples/call.py http://127.0.0.1:3000/mcp"""

import sys
from typing import Any

import anyio
import httpx2
from mcp import Client
from mcp_types import TextContent


def text(result: Any) -> str:
    """Return the text of a tool's result."""
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


async def main(url: str) -> None:
    """List the tools, write a note, and find it again."""
    async with Client(url) as client:
        print(f"connected to {url}, speaking MCP {client.protocol_version}")
        tools = await client.list_tools()
        print("tools:", ", ".join(tool.name for tool in tools.tools))
        note = {"title": "First call", "body": "It works.", "tags": ["hello"]}
        print("added:", text(await client.call_tool("add_note", note)))
        print("found:", text(await client.call_tool("search_notes", {"query": "works", "limit": 1})))


if __name__ == "__main__":
    url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:3000/mcp"
    try:
        anyio.run(main, url)
    except* httpx2.ConnectError:
        sys.exit(f"nothing answers at {url}; start it with `make run`")
