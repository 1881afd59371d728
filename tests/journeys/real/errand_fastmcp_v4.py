"""The fastmcp 4 client: CLIENT URL MODE ERRAND, where MODE is "auto" or "legacy"; prints what it saw."""

import json
import sys
import warnings
from typing import Any

import anyio
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from mcp_types import TextContent

warnings.simplefilter("ignore")  # sampling and roots are deprecated, and still what the servers ask for


async def _call(client: Client[Any], name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    steps: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        steps.append(progress)

    result = await client.call_tool(name, arguments, progress_handler=on_progress, raise_on_error=False)
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

    async def on_question(message: str, kind: Any, params: Any, context: Any) -> dict[str, Any]:
        asked.append("elicitation")
        return errand["elicited"]

    async def on_sampling(messages: Any, params: Any, context: Any) -> str:
        asked.append("sampling")
        return errand["sampled"]

    async def on_roots(context: Any) -> list[str]:
        asked.append("roots")
        return [root or ""]

    async with Client(
        StreamableHttpTransport(url, headers=errand["headers"]),
        mode=mode,
        elicitation_handler=on_question,
        sampling_handler=on_sampling,
        roots=on_roots if root else None,
    ) as client:
        tools = await client.list_tools()
        results = [await _call(client, name, arguments) for name, arguments in errand["calls"]]
        revision = client.session.protocol_version
    print(json.dumps({"revision": revision, "tools": [t.name for t in tools], "results": results, "asked": asked}))


anyio.run(main, sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
