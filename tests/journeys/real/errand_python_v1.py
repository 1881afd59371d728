"""The official Python client v1, in an environment of its own: CLIENT URL MODE ERRAND; prints what it saw."""

# Its SDK lives in an environment of its own, which the type checker does not see.
# pyright: basic, reportAttributeAccessIssue=false, reportCallIssue=false

import json
import sys
from typing import Any

import anyio
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.types import CreateMessageResult, ElicitResult, ListRootsResult, Root, TextContent
from pydantic import FileUrl


async def _call(client: ClientSession, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    steps: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        steps.append(progress)

    result = await client.call_tool(name, arguments, progress_callback=on_progress)
    return {
        "text": "".join(block.text for block in result.content if block.type == "text"),
        "structured": result.structuredContent,
        "is_error": result.isError,
        "progress": steps,
    }


async def main(url: str, mode: str, errand: dict[str, Any]) -> None:
    """Make the errand's calls one after the other and print what came of them as JSON."""
    asked: list[str] = []
    root: str | None = errand["root"]

    async def on_elicitation(context: Any, params: Any) -> ElicitResult:
        asked.append("elicitation")
        return ElicitResult(action="accept", content=errand["elicited"])

    async def on_sampling(context: Any, params: Any) -> CreateMessageResult:
        asked.append("sampling")
        content = TextContent(type="text", text=errand["sampled"])
        return CreateMessageResult(role="assistant", content=content, model="none", stopReason="endTurn")

    async def on_roots(context: Any) -> ListRootsResult:
        asked.append("roots")
        return ListRootsResult(roots=[Root(uri=FileUrl(root or ""), name="root")])

    async with (
        create_mcp_http_client(errand["headers"]) as http,
        streamable_http_client(url, http_client=http) as (read, write, *_),
        ClientSession(
            read,
            write,
            elicitation_callback=on_elicitation,
            sampling_callback=on_sampling,
            list_roots_callback=on_roots if root else None,
        ) as session,
    ):
        hello = await session.initialize()
        tools = await session.list_tools()
        results = [await _call(session, name, arguments) for name, arguments in errand["calls"]]
        names = [tool.name for tool in tools.tools]
    print(json.dumps({"revision": hello.protocolVersion, "tools": names, "results": results, "asked": asked}))


anyio.run(main, sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
