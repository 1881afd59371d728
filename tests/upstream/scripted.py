"""A server over a real socket that answers exactly as a test says, byte for byte where it must."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from portside.hosting.http.address import Address


@dataclass(slots=True)
class Asked:
    """One request as it came in; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def rpc(self) -> str:
        """The JSON-RPC method, or the HTTP method where there is none."""
        return self.json.get("method", "response") if self.body else self.method


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        lines = "".join(f"\r\n{name.replace('_', '-')}: {value}" for name, value in headers.items())
        await self.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}{lines}\r\n\r\n".encode() + body)

    async def json(self, value: object, status: int = 200, **headers: str) -> None:
        await self.answer(status, json.dumps(value).encode(), content_type="application/json", **headers)

    async def result(self, asked: Asked, result: dict[str, Any], **headers: str) -> None:
        await self.json({"jsonrpc": "2.0", "id": asked.json["id"], "result": result}, 200, **headers)

    async def open_stream(self, **headers: str) -> None:
        lines = "".join(f"\r\n{name.replace('_', '-')}: {value}" for name, value in headers.items())
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked{lines}\r\n\r\n"
        await self.write(head.encode())

    async def event(self, value: object = None, *, id: str | None = None, retry: int | None = None) -> None:
        lines = [f"id: {id}"] if id is not None else []
        lines += [f"retry: {retry}"] if retry is not None else []
        data = "\n".join([*lines, "data: " + (json.dumps(value) if value is not None else ""), "", ""]).encode()
        await self.write(b"%x\r\n%b\r\n" % (len(data), data))

    async def end_stream(self) -> None:
        await self.write(b"0\r\n\r\n")

    def close(self) -> None:
        self._writer.close()

    def abort(self) -> None:
        self._writer.transport.abort()

    async def gone(self) -> None:
        """Return once the client has closed its side."""
        while True:
            try:
                if not await self._reader.read(65536):
                    return
            except ConnectionError:
                return


Answer = Callable[[Asked, Peer], Awaitable[None]]


@dataclass(slots=True)
class Scripted:
    """What the server was asked so far, and how often it was connected to."""

    port: int
    scheme: str = "http"
    asked: list[Asked] = field(default_factory=list[Asked])
    connections: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/mcp"

    @property
    def address(self) -> Address:
        return Address(self.scheme, "127.0.0.1", self.port, b"/mcp")

    @property
    def methods(self) -> list[str]:
        return [asked.rpc for asked in self.asked]

    async def until_asked(self, rpc: str, count: int = 1) -> Asked:
        """Return the `count`-th request of this method once it is here."""
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(lambda: self.methods.count(rpc) >= count)
        return [asked for asked in self.asked if asked.rpc == rpc][count - 1]


@asynccontextmanager
async def scripted(answer: Answer, *, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Scripted]:
    """Run a server for the block whose every request is answered by `answer`; nothing of it is left after."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.connections += 1
        number, peer = state.connections, Peer(reader, writer)
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while (asked := await _request(reader, number)) is not None:
                async with state.changed:
                    state.asked.append(asked)
                    state.changed.notify_all()
                await answer(asked, peer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client left in the middle, as some tests want it to, or the test is over
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls, limit=1 << 20)
    state = Scripted(server.sockets[0].getsockname()[1], "http" if tls is None else "https")
    try:
        yield state
    finally:
        server.close()
        left = list(tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await server.wait_closed()


async def _request(reader: asyncio.StreamReader, connection: int) -> Asked | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(method, target, headers, body, connection)
