"""A raw HTTP client for MCP: bytes in, bytes out, nothing tidied up on the way."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from portside.wire.sse import Decoder, Event

META: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
}
ACCEPT = "application/json, text/event-stream"


@dataclass
class Reply:
    """One HTTP response, complete."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Event]:
        return list(Decoder().feed(self.body))

    @property
    def messages(self) -> list[Any]:
        """The messages of a stream, or the one of a JSON answer."""
        if self.headers.get("content-type") != "text/event-stream":
            return [self.json]
        return [json.loads(event.data) for event in self.events if event.data]


def post(body: object, headers: dict[str, str] | None = None, *, path: str = "/mcp", host: str = "localhost") -> bytes:
    """Return the bytes of a POST."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = {"Host": host, "Content-Type": "application/json", "Accept": ACCEPT, "Content-Length": str(len(data))}
    head |= headers or {}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + data


def get(path: str, headers: dict[str, str] | None = None, *, method: str = "GET", host: str = "localhost") -> bytes:
    """Return the bytes of a request without a body."""
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {host}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def modern(method: str, params: dict[str, Any] | None = None, *, id: int | str = 1, **meta: Any) -> bytes:
    """Return a modern POST with matching headers."""
    full = {**(params or {}), "_meta": META | meta}
    headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method}
    name = full.get("name") or full.get("uri")
    if name is not None:
        headers["Mcp-Name"] = str(name)
    return post({"jsonrpc": "2.0", "id": id, "method": method, "params": full}, headers)


def call(name: str, arguments: dict[str, Any] | None = None, *, id: int | str = 1, **meta: Any) -> bytes:
    """Return a modern `tools/call`."""
    return modern("tools/call", {"name": name, "arguments": arguments or {}}, id=id, **meta)


@dataclass
class Connection:
    """One TCP connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    buffered: bytes = field(default=b"")

    @classmethod
    async def open(cls, port: int) -> "Connection":
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        return cls(reader, writer)

    async def ask(self, request: bytes, *, timeout_s: float = 10) -> Reply:
        """Send bytes and return the response to them. Raises EOFError where the connection ends without one."""
        self.send(request)
        return await self.reply(timeout_s=timeout_s)

    def send(self, request: bytes) -> None:
        self.writer.write(request)

    async def head(self) -> tuple[int, dict[str, str]]:
        """Read the head of a response."""
        raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").rstrip().split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(first.split()[1]), headers

    async def reply(self, *, timeout_s: float = 10) -> Reply:
        async with asyncio.timeout(timeout_s):
            status, headers = await self.head()
            if headers.get("transfer-encoding") == "chunked":
                return Reply(status, headers, await self._chunks())
            length = int(headers.get("content-length", "0"))
            return Reply(status, headers, await self.reader.readexactly(length))

    async def chunk(self) -> bytes:
        """Read one chunk of a stream; empty at its end."""
        size = int(await self.reader.readline(), 16)
        data = await self.reader.readexactly(size + 2)
        return data[:-2]

    async def closed(self, *, timeout_s: float = 10) -> bytes:
        """Read until the server closes, and return what came."""
        async with asyncio.timeout(timeout_s):
            return await self.reader.read()

    def close(self) -> None:
        self.writer.close()

    async def _chunks(self) -> bytes:
        parts: list[bytes] = []
        while part := await self.chunk():
            parts.append(part)
        return b"".join(parts)


async def open_session(port: int, revision: str = "2025-11-25") -> tuple[Connection, dict[str, str]]:
    """Return a connection and the headers of a legacy session opened on it."""
    connection = await Connection.open(port)
    hello = {"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
    opened = await connection.ask(post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}))
    headers = {"Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": revision}
    told = await connection.ask(post({"jsonrpc": "2.0", "method": "notifications/initialized"}, headers))
    if told.status != 202:
        raise AssertionError(f"initialized was answered with {told.status}")
    return connection, headers
