"""The same by a low-level server, which leaves all checking to whoever runs it."""

from typing import Any

import mcp_types as types
from mcp.server import Server, ServerRequestContext

LIST = {"type": "array", "items": {"type": "integer"}}
SCHEMAS: dict[str, dict[str, Any]] = {
    "numbers": {"type": "object", "properties": {"values": LIST}, "required": ["values"]},
    "maybe": {"type": "object", "properties": {"values": {"anyOf": [LIST, {"type": "null"}]}}},
    "echo": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
}


async def list_tools(
    ctx: ServerRequestContext[Any, Any], params: types.PaginatedRequestParams | None
) -> types.ListToolsResult:
    return types.ListToolsResult(tools=[types.Tool(name=name, input_schema=schema) for name, schema in SCHEMAS.items()])


async def call_tool(ctx: ServerRequestContext[Any, Any], params: types.CallToolRequestParams) -> types.CallToolResult:
    arguments = params.arguments or {}
    text = str(arguments.get("text", len(arguments.get("values") or [])))
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)])


server: Server[Any] = Server("bulky", version="1", on_list_tools=list_tools, on_call_tool=call_tool)
