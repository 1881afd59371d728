"""A gateway without HTTP: requests as values, responses collected, the client's leaving at will."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
from mcp.server.mcpserver import MCPServer

from portside.clock import Clock, SystemClock
from portside.gateway.endpoint import Gateway
from portside.gateway.guard import Guard
from portside.gateway.http import Headers, Incoming
from portside.gateway.options import Options
from portside.hosting.base import Host
from portside.hosting.python.v2 import PythonV2Host
from portside.observe.record import Record
from portside.state.bounds import Bounds
from portside.state.connect import State, memory_state
from portside.wire import classify, methods
from portside.wire.sse import Decoder, Event

CAPABILITIES: dict[str, Any] = {"elicitation": {"form": {}}, "sampling": {}, "roots": {}}
BOTH = b"application/json, text/event-stream"


class Response:
    """One response as its client sees it; an `Outgoing`."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.is_over = False
        self._gone = asyncio.Event()
        self._changed = asyncio.Condition()
        self.incoming: Incoming | None = None

    async def start(self, status: int, headers: Headers) -> None:
        assert self.status == 0, "a response starts once"
        self.status, self.headers = status, dict(headers)
        await self._tell()

    async def write(self, body: bytes, *, more: bool) -> None:
        if self._gone.is_set():
            return
        assert self.status != 0, "the head comes before the body"
        assert not self.is_over, "nothing comes after the end"
        self.body += body
        if not more:
            self.is_over = True
            self._gone.set()
        await self._tell()

    async def gone(self) -> None:
        await self._gone.wait()

    def leave(self) -> None:
        """Close the connection from the client's side."""
        self._gone.set()

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def is_stream(self) -> bool:
        return self.headers.get(b"content-type") == b"text/event-stream"

    @property
    def events(self) -> list[Event]:
        return list(Decoder().feed(self.body))

    @property
    def messages(self) -> list[Any]:
        """Every message of a stream so far, or the one message of a JSON response."""
        if not self.is_stream:
            return [self.json] if self.body else []
        return [msgspec.json.decode(event.data) for event in self.events if event.data]

    async def until(self, count: int) -> list[Any]:
        """Return the messages once there are `count` of them."""
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(lambda: self.status != 0 and len(self.messages) >= count)
        return self.messages

    async def until_started(self) -> None:
        """Return once the head has been sent."""
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(lambda: self.status != 0)

    async def until_over(self) -> "Response":
        """Return once the response has ended."""
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(lambda: self.is_over)
        return self

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class Wired:
    """Clients of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.tasks: set[asyncio.Task[None]] = set()

    def send(
        self,
        method: str,
        body: object = None,
        headers: Mapping[bytes, bytes] | None = None,
        *,
        principal: str | None = None,
    ) -> Response:
        """Send one HTTP request and return its response, still on its way."""
        raw = {b"content-type": b"application/json", b"accept": BOTH} | dict(headers or {})
        data = body if isinstance(body, bytes) else msgspec.json.encode(body) if body is not None else b""
        response = Response()
        response.incoming = Incoming(method, raw, list(raw.items()), data, Record(), principal=principal)
        task = asyncio.create_task(self.gateway.answer(response.incoming, response))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return response

    def modern(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        *,
        id: int | str = 1,
        meta: dict[str, Any] | None = None,
        capabilities: dict[str, Any] | None = None,
        principal: str | None = None,
        headers: Mapping[bytes, bytes] | None = None,
    ) -> Response:
        """Send a modern request, its envelope and headers made from what is given."""
        envelope = {
            classify.META_REVISION: "2026-07-28",
            classify.META_CAPABILITIES: CAPABILITIES if capabilities is None else capabilities,
        }
        full = {**(params or {}), "_meta": envelope | (meta or {})}
        raw = {b"mcp-protocol-version": b"2026-07-28", b"mcp-method": method.encode()}
        named = methods.NAME_PARAMETER.get(method)
        if named is not None and named in full:
            raw[b"mcp-name"] = str(full[named]).encode()
        body = {"jsonrpc": "2.0", "id": id, "method": method, "params": full}
        return self.send("POST", body, raw | dict(headers or {}), principal=principal)

    def call(self, name: str, arguments: dict[str, Any] | None = None, **more: Any) -> Response:
        """Send a modern `tools/call`."""
        extra = more.pop("params", {})
        return self.modern("tools/call", {"name": name, "arguments": arguments or {}, **extra}, **more)

    async def session(
        self, revision: str = "2025-11-25", *, capabilities: dict[str, Any] | None = None, principal: str | None = None
    ) -> "Client":
        """Return a client that has opened a legacy session."""
        hello = {
            "protocolVersion": revision,
            "capabilities": CAPABILITIES if capabilities is None else capabilities,
            "clientInfo": {"name": "t", "version": "1"},
        }
        body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
        response = await self.send("POST", body, principal=principal).until_over()
        assert response.status == 200, response.body
        client = Client(
            self, response.headers[b"mcp-session-id"], response.json["result"]["protocolVersion"], principal
        )
        told = await client.post({"jsonrpc": "2.0", "method": "notifications/initialized"}).until_over()
        assert told.status == 202
        return client


class Client:
    """One legacy session as its client sees it."""

    def __init__(self, wired: Wired, id: bytes, revision: str, principal: str | None) -> None:
        self.wired = wired
        self.id = id
        self.principal = principal
        self.headers = {b"mcp-session-id": id, b"mcp-protocol-version": revision.encode()}

    def post(self, body: object) -> Response:
        return self.wired.send("POST", body, self.headers, principal=self.principal)

    def request(self, method: str, params: dict[str, Any] | None = None, *, id: int | str = 1) -> Response:
        return self.post({"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}})

    def call(
        self, name: str, arguments: dict[str, Any] | None = None, *, id: int | str = 1, token: Any = None
    ) -> Response:
        params: dict[str, Any] = {"name": name, "arguments": arguments or {}}
        if token is not None:
            params["_meta"] = {"progressToken": token}
        return self.request("tools/call", params, id=id)

    def get(self, last_event: str | None = None) -> Response:
        extra = {b"last-event-id": last_event.encode()} if last_event is not None else {}
        return self.wired.send("GET", headers=self.headers | extra, principal=self.principal)

    def delete(self) -> Response:
        return self.wired.send("DELETE", headers=self.headers, principal=self.principal)


@asynccontextmanager
async def wired(
    server: MCPServer[Any], options: Options | None = None, *, clock: Clock | None = None, state: State | None = None
) -> AsyncGenerator[Wired]:
    """Yield clients of a gateway in front of `server`; nothing is left running afterwards."""
    async with fronted(PythonV2Host(server), options, clock=clock, state=state) as clients:
        yield clients


@asynccontextmanager
async def fronted(
    host: Host,
    options: Options | None = None,
    *,
    clock: Clock | None = None,
    state: State | None = None,
    secrets: Sequence[bytes] = (),
    server_id: str = "",
    guard: Guard | None = None,
) -> AsyncGenerator[Wired]:
    """Yield clients of a gateway in front of a host that has not started; on `state`, where that is given."""
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        if state is None:
            state = await stack.enter_async_context(
                memory_state(clock, Bounds(max_events=100, max_event_bytes=1_000_000))
            )
        await host.start()
        gateway = await Gateway.open(
            host, state, options or Options(), clock, secrets=secrets, guard=guard, server_id=server_id
        )
        clients = Wired(gateway)
        try:
            yield clients
        finally:
            await gateway.end_streams()
            await gateway.close()
            if clients.tasks:
                await asyncio.wait(clients.tasks, timeout=5)
            left = list(clients.tasks)
            await host.close()
            assert not left, f"still running: {left}"


def text(message: Any) -> str:
    """Return the text of a tool result."""
    return message["result"]["content"][0]["text"]
