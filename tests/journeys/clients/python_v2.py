"""The official Python client v2: CLIENT URL MODE STORY, where MODE is "auto" or "legacy"; prints what it saw."""

import json
import sys
from typing import Any

import anyio
from mcp import Client
from mcp.client import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult, TextContent, TextResourceContents


def _text(result: Any) -> str:
    return "".join(block.text for block in result.content if isinstance(block, TextContent))


async def main(url: str, mode: Any, story: dict[str, Any]) -> None:
    """Play the story and print what came of it as JSON."""
    steps: list[float] = []
    asked: list[str] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        steps.append(progress)

    async def on_question(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="accept", content=story["answer"])

    async with Client(url, mode=mode, elicitation_callback=on_question) as client:
        tools = await client.list_tools()
        called = await client.call_tool(*story["call"])
        worked = await client.call_tool(*story["work"], progress_callback=on_progress)
        resource = (await client.read_resource(story["resource"])).contents[0]
        prompt = await client.get_prompt(*story["prompt"])
        answered = await client.call_tool(*story["ask"])
        seen = {
            "revision": client.protocol_version,
            "tools": [tool.name for tool in tools.tools],
            "called": called.structured_content,
            "worked": _text(worked),
            "progress": steps,
            "resource": resource.text if isinstance(resource, TextResourceContents) else "",
            "prompt": "".join(m.content.text for m in prompt.messages if isinstance(m.content, TextContent)),
            "asked": asked,
            "answered": _text(answered),
        }
    print(json.dumps(seen))


anyio.run(main, sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
