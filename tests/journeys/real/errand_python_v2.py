"""The official Python client v2: CLIENT URL MODE ERRAND, where MODE is "auto" or "legacy"; prints what it saw."""

import json
import sys
import warnings
from typing import Any

import anyio
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp_types import (
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequestParams,
    ElicitResult,
    ListRootsResult,
    Root,
    TextContent,
)
from pydantic import FileUrl

warnings.simplefilter("ignore")  # sampling and roots are deprecated, and still what the servers ask for


async def _call(client: Client, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    steps: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        steps.append(progress)

    result = await client.call_tool(name, arguments, progress_callback=on_progress)
    return {
        "text": "".join(block.text for block in result.content if isinstance(block, TextContent)),
        "structured": result.structured_content,
        "is_error": result.is_error,
        "progress": steps,
    }


async def main(url: str, mode: Any, errand: dict[str, Any]) -> None:
    """Make the errand's calls one after the other and print what came of them as JSON."""
    asked: list[str] = []
    root: str | None = errand["root"]

    async def on_elicitation(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        asked.append("elicitation")
        return ElicitResult(action="accept", content=errand["elicited"])

    async def on_sampling(context: ClientRequestContext, params: CreateMessageRequestParams) -> CreateMessageResult:
        asked.append("sampling")
        content = TextContent(type="text", text=errand["sampled"])
        return CreateMessageResult(role="assistant", content=content, model="none", stop_reason="endTurn")

    async def on_roots(context: ClientRequestContext) -> ListRootsResult:
        asked.append("roots")
        return ListRootsResult(roots=[Root(uri=FileUrl(root or ""), name="root")])

    async with (
        create_mcp_http_client(errand["headers"]) as http,
        Client(
            streamable_http_client(url, http_client=http),
            mode=mode,
            elicitation_callback=on_elicitation,
            sampling_callback=on_sampling,
            list_roots_callback=on_roots if root else None,
        ) as client,
    ):
        tools = await client.list_tools()
        results = [await _call(client, name, arguments) for name, arguments in errand["calls"]]
        revision = client.protocol_version
    print(
        json.dumps({"revision": revision, "tools": [t.name for t in tools.tools], "results": results, "asked": asked})
    )


anyio.run(main, sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
