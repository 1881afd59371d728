"""The echo server of the benchmark on the SDK's low-level class, whose arguments nobody checks but portside."""

from typing import Any

from mcp import types
from mcp.server.lowlevel import Server

_SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


async def _list(context: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
    return types.ListToolsResult(tools=[types.Tool(name="echo", input_schema=_SCHEMA)])


async def _call(context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
    text = str((params.arguments or {})["text"])
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)])


mcp = Server("bench", on_list_tools=_list, on_call_tool=_call)
