"""Several gateways of one deployment in one process, each of which can be cut off from the state they share."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import fields, replace
from typing import Any

from mcp.server.mcpserver import MCPServer

from portside.clock import SystemClock
from portside.errors import StateUnavailable
from portside.gateway.options import Options
from portside.hosting.base import Host
from portside.hosting.python.v2 import PythonV2Host
from portside.state.connect import State, memory_state
from tests.gateway.wired import Client, Wired, fronted

SECRET = bytes(range(32))


class Wire:
    """Between one replica and what all share. While it `is_cut`, nothing gets through."""

    def __init__(self, state: State) -> None:
        self.is_cut = False
        cut: dict[str, Any] = {
            field.name: _Cut(self, getattr(state, field.name))
            for field in fields(State)
            if field.name not in ("apart", "is_shared", "ping")
        }
        self.state = replace(state, is_shared=True, **cut)


class _Cut:
    def __init__(self, wire: Wire, inner: Any) -> None:
        self._wire = wire
        self._inner = inner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._inner, name)

        async def through(*given: Any, **named: Any) -> Any:
            if self._wire.is_cut:
                raise StateUnavailable("cut off by the test")
            result = await method(*given, **named)
            if self._wire.is_cut:
                raise StateUnavailable("cut off by the test")
            return result

        return through


class Replica:
    """One of them."""

    def __init__(self, clients: Wired, wire: Wire) -> None:
        self.clients = clients
        self.wire = wire

    @property
    def gateway(self) -> Any:
        return self.clients.gateway

    def adopt(self, client: Client) -> Client:
        """Return the same session's client, asking this replica from now on."""
        revision = client.headers[b"mcp-protocol-version"].decode()
        return Client(self.clients, client.id, revision, client.principal)


@asynccontextmanager
async def replicas(
    *servers: MCPServer[Any] | Host, options: Options | None = None, secrets: Sequence[bytes] = (SECRET,)
) -> AsyncGenerator[list[Replica]]:
    """Yield a replica for each server."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        state = await stack.enter_async_context(memory_state(clock))
        found: list[Replica] = []
        for number, server in enumerate(servers):
            wire = Wire(state)
            host = PythonV2Host(server, secrets=secrets) if isinstance(server, MCPServer) else server
            clients = await stack.enter_async_context(
                fronted(host, options, clock=clock, state=wire.state, secrets=secrets, server_id=f"server-{number}")
            )
            found.append(Replica(clients, wire))
        yield found
