"""The official Python client v1, in an environment of its own: CLIENT URL MODE STORY; prints what it saw."""

# Its SDK lives in an environment of its own, which the type checker does not see.
# pyright: basic, reportAttributeAccessIssue=false

import json
import sys
from typing import Any

import anyio
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ElicitResult


def _text(result: Any) -> str:
    return "".join(block.text for block in result.content if block.type == "text")


async def main(url: str, mode: str, story: dict[str, Any]) -> None:
    """Play the story and print what came of it as JSON."""
    steps: list[float] = []
    asked: list[str] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        steps.append(progress)

    async def on_question(context: Any, params: Any) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="accept", content=story["answer"])

    async with (
        streamable_http_client(url) as (read, write, *_),
        ClientSession(read, write, elicitation_callback=on_question) as session,
    ):
        hello = await session.initialize()
        tools = await session.list_tools()
        called = await session.call_tool(*story["call"])
        worked = await session.call_tool(*story["work"], progress_callback=on_progress)
        resource = await session.read_resource(story["resource"])
        prompt = await session.get_prompt(*story["prompt"])
        answered = await session.call_tool(*story["ask"])
        seen = {
            "revision": hello.protocolVersion,
            "tools": [tool.name for tool in tools.tools],
            "called": called.structuredContent,
            "worked": _text(worked),
            "progress": steps,
            "resource": resource.contents[0].text,
            "prompt": "".join(m.content.text for m in prompt.messages if m.content.type == "text"),
            "asked": asked,
            "answered": _text(answered),
        }
    print(json.dumps(seen))


anyio.run(main, sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
