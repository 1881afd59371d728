"""The bytes of the benchmark's requests, and the check that an answer is the right one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec
from failure import BenchFailure

FIRST_ID = 100_000_000
"""Ids and texts are made of nine-digit numbers, so that every request of a frame has one length."""

NEW_REVISION = "2026-07-28"
OLD_REVISION = "2025-11-25"


class Era(StrEnum):
    """The protocol era a client speaks."""

    NEW = "new"
    OLD = "old"


class Content(msgspec.Struct):
    """One block of a tool's result."""

    type: str
    text: str = ""


class Result(msgspec.Struct, rename="camel"):
    """A tool's result."""

    content: list[Content]
    is_error: bool = False


class Answer(msgspec.Struct):
    """A JSON-RPC answer to `tools/call`; an error answer has no `result` and does not decode."""

    id: int
    result: Result


ANSWERS = msgspec.json.Decoder(Answer)


@dataclass(frozen=True, slots=True)
class Response:
    """One whole HTTP response.

    head: status line and headers. body: without transfer coding.
    """

    status: int
    head: bytes
    body: bytes

    def header(self, name: bytes) -> str | None:
        """Return the value of header `name` (lower case), or None."""
        at = self.head.lower().find(b"\r\n" + name + b":")
        if at < 0:
            return None
        return self.head[at + len(name) + 3 :].split(b"\r\n", 1)[0].strip().decode("latin-1")


@dataclass(frozen=True, slots=True)
class Frame:
    """A request with two holes for its number: the JSON-RPC id and the echoed text."""

    head: bytes
    middle: bytes
    tail: bytes

    def fill(self, number: int) -> bytes:
        """Return the bytes of request `number` (nine digits)."""
        digits = b"%d" % number
        return self.head + digits + self.middle + digits + self.tail


def text_of(number: int) -> str:
    """Return the text that call `number` asks to have echoed."""
    return f"call {number} says hello"


def call_frame(host: str, era: Era, tool: str, session: str | None) -> Frame:
    """Return the frame of a `tools/call` of `tool`; `session` is None in the new era."""
    params: dict[str, object] = {"name": tool, "arguments": {"text": text_of(FIRST_ID)}}
    if era is Era.NEW:
        params["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": NEW_REVISION,
            "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        headers = {"MCP-Protocol-Version": NEW_REVISION, "Mcp-Method": "tools/call", "Mcp-Name": tool}
    else:
        headers = session_headers(session)
    message = {"jsonrpc": "2.0", "id": FIRST_ID, "method": "tools/call", "params": params}
    head, middle, tail = post(host, headers, message).split(b"%d" % FIRST_ID)
    return Frame(head, middle, tail)


def session_headers(session: str | None) -> dict[str, str]:
    """Return the headers of an old-era request within `session`, if the server gave one."""
    headers = {"MCP-Protocol-Version": OLD_REVISION}
    if session is not None:
        headers["Mcp-Session-Id"] = session
    return headers


def initialize(host: str) -> bytes:
    """Return the request that opens an old-era session."""
    params = {"protocolVersion": OLD_REVISION, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
    return post(host, {}, {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})


def initialized(host: str, session: str | None) -> bytes:
    """Return the notification that ends the old era's handshake."""
    return post(host, session_headers(session), {"jsonrpc": "2.0", "method": "notifications/initialized"})


def post(host: str, headers: dict[str, str], message: Mapping[str, object]) -> bytes:
    """Return a POST of one JSON-RPC message to `/mcp`."""
    body = json.dumps(message, separators=(",", ":")).encode()
    fixed = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Content-Length": str(len(body)),
    }
    return request_head("POST", host, fixed | headers) + body


def bodiless(method: str, host: str, session: str | None) -> bytes:
    """Return an old-era GET (open the session's stream) or DELETE (end the session)."""
    return request_head(method, host, {"Accept": "text/event-stream"} | session_headers(session))


def request_head(method: str, host: str, headers: dict[str, str], path: str = "/mcp") -> bytes:
    """Return request line and headers, closed by the empty line."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def take_response(buffer: bytes, *, head_only: bool = False) -> Response | None:
    """Return the response `buffer` holds, or None while bytes are missing.

    One request is in flight on a connection at a time, so nothing follows the response. With
    head_only the body is left out and not waited for (an open stream has no end).
    Raises BenchFailure for a response without a length.
    """
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    original = buffer[: end + 2]
    head = original.lower()
    status = int(head[9:12])
    if head_only or status in (202, 204):
        return Response(status, original, b"")
    length_at = head.find(b"\r\ncontent-length:")
    if length_at >= 0:
        length = int(head[length_at + 17 : head.index(b"\r\n", length_at + 17)])
        body = buffer[end + 4 : end + 4 + length]
        return Response(status, original, body) if len(body) == length else None
    if b"\r\ntransfer-encoding: chunked" not in head:
        raise BenchFailure(f"a response that has no length: {head!r}")
    chunks = join_chunks(buffer, end + 4)
    return None if chunks is None else Response(status, original, chunks)


def join_chunks(buffer: bytes, start: int) -> bytes | None:
    """Return the chunked body that begins at `start`, or None while its last chunk is missing (RFC 9112 §7.1)."""
    body = b""
    while True:
        line_end = buffer.find(b"\r\n", start)
        if line_end < 0:
            return None
        size = int(buffer[start:line_end], 16)
        data_end = line_end + 2 + size
        if len(buffer) < data_end + 2:
            return None
        if size == 0:
            return body
        body += buffer[line_end + 2 : data_end]
        start = data_end + 2


def message_of(response: Response) -> bytes:
    """Return the JSON-RPC message of a response: the body, or the last event with data of an SSE body."""
    body = response.body
    if body.startswith(b"{"):
        return body
    data = [line[5:] for line in body.splitlines() if line.startswith(b"data:") and line[5:].strip()]
    return data[-1] if data else b""


def check_echo(response: Response, number: int) -> None:
    """Raise BenchFailure unless `response` is the tool's answer to call `number`."""
    try:
        answer = ANSWERS.decode(message_of(response))
    except msgspec.MsgspecError as error:
        raise BenchFailure(f"call {number}: HTTP {response.status}, {response.body[:500]!r}") from error
    content = answer.result.content
    right_text = len(content) == 1 and content[0].text == text_of(number)
    if response.status != 200 or answer.id != number or answer.result.is_error or not right_text:
        raise BenchFailure(f"call {number}: HTTP {response.status}, {response.body[:500]!r}")
