"""The fastmcp 4 client: CLIENT URL MODE STORY, where MODE is "auto" or "legacy"; prints what it saw."""

import json
import sys
from typing import Any

import anyio
from fastmcp import Client
from mcp_types import TextContent, TextResourceContents


def _text(result: Any) -> str:
    return "".join(block.text for block in result.content if isinstance(block, TextContent))


async def main(url: str, mode: Any, story: dict[str, Any]) -> None:
    """Play the story and print what came of it as JSON."""
    steps: list[float] = []
    asked: list[str] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        steps.append(progress)

    async def on_question(message: str, kind: Any, params: Any, context: Any) -> dict[str, Any]:
        asked.append(message)
        return story["answer"]

    async with Client(url, mode=mode, elicitation_handler=on_question, progress_handler=on_progress) as client:
        tools = await client.list_tools()
        called = await client.call_tool(*story["call"])
        steps.clear()
        worked = await client.call_tool(*story["work"])
        worked_steps = list(steps)
        resource = (await client.read_resource(story["resource"]))[0]
        prompt = await client.get_prompt(*story["prompt"])
        answered = await client.call_tool(*story["ask"])
        seen = {
            "revision": client.session.protocol_version,
            "tools": [tool.name for tool in tools],
            "called": called.structured_content,
            "worked": _text(worked),
            "progress": worked_steps,
            "resource": resource.text if isinstance(resource, TextResourceContents) else "",
            "prompt": "".join(m.content.text for m in prompt.messages if isinstance(m.content, TextContent)),
            "asked": asked,
            "answered": _text(answered),
        }
    print(json.dumps(seen))


anyio.run(main, sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
