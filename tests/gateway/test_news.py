"""Announcements reach every listener at every replica: two gateways, one shared state, servers of every kind."""

from typing import Any

import pytest
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.subscriptions import InMemorySubscriptionBus

from portside.hosting.python_v2 import PythonV2Host
from tests.gateway.replicas import listening, replica, shared_state, told

pytestmark = pytest.mark.anyio

EVERY_LIST = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}


def announcing() -> MCPServer[Any]:
    """Return a server whose tools announce changes on its subscription bus."""
    server: MCPServer[Any] = MCPServer("announcing")

    @server.tool()
    async def grow(ctx: Context[Any, Any]) -> str:
        await ctx.notify_tools_changed()
        return "grown"

    @server.tool()
    async def touch(uri: str, ctx: Context[Any, Any]) -> str:
        await ctx.notify_resource_updated(uri)
        return "touched"

    return server


async def test_change_of_a_list_reaches_the_subscriptions_of_every_replica_once() -> None:
    async with (
        shared_state() as state,
        replica(PythonV2Host(announcing()), state, "a") as a,
        replica(PythonV2Host(announcing()), state, "b") as b,
    ):
        streams = [
            await listening(a, EVERY_LIST),
            await listening(a, EVERY_LIST, id="x"),
            await listening(b, EVERY_LIST),
        ]
        await a.call("grow").until_over()
        for stream in streams:
            await stream.until(2)
        # What comes after it shows that nothing came twice.
        await b.call("touch", {"uri": "x://1"}).until_over()
        await b.call("grow").until_over()
        for stream in streams:
            await stream.until(3)
            assert [("tools/list_changed", None)] * 2 == told(stream)
        assert "x" == streams[1].messages[1]["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"]
        assert 7 == streams[2].messages[1]["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"]
