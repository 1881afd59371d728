"""A lowlevel server of the official SDK v1 that tells each of its subscribed sessions itself."""
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportCallIssue=false
# The checker's environment has SDK v2, which lacks these modules.

from typing import Any

import mcp.types as types
from mcp.server.lowlevel import Server

from portside.hosting.python.v1 import PythonV1Host

host = PythonV1Host


def build() -> Any:
    """Return the server: `grow` tells the calling session of new tools, `touch` every subscriber of an update."""
    server = Server("announcing-v1")
    subscribe_in(server)

    @server.list_tools()
    async def tools() -> list[types.Tool]:
        return [types.Tool(name=name, inputSchema={"type": "object"}) for name in ("grow", "touch")]

    @server.call_tool()
    async def call(name: str, arguments: dict[str, Any]) -> list[types.TextContent]:
        if name == "grow":
            await server.request_context.session.send_tool_list_changed()
        else:
            await touch(server, arguments["uri"])
        return [types.TextContent(type="text", text="done")]

    return server


def subscribe_in(server: Any) -> None:
    """Let sessions subscribe; the server remembers which did."""
    server.subscribers = {}

    @server.subscribe_resource()
    async def subscribe(uri: Any) -> None:
        server.subscribers.setdefault(str(uri), []).append(server.request_context.session)

    @server.unsubscribe_resource()
    async def unsubscribe(uri: Any) -> None:
        server.subscribers.pop(str(uri), None)


async def touch(server: Any, uri: str) -> None:
    """Tell every session that subscribed."""
    for session in server.subscribers.get(uri, ()):
        await session.send_resource_updated(uri)
