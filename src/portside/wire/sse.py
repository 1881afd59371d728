"""Server-sent events: writing them, and reading them back (WHATWG HTML §9.2)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

CONTENT_TYPE: Final = b"text/event-stream"

KEEP_ALIVE: Final = b": keep-alive\n\n"
"""A comment: invisible to clients, enough for a proxy's idle time-out."""


@dataclass(frozen=True, slots=True)
class Event:
    """One received event; `retry_ms` where the block carried a valid retry field."""

    data: str
    event: str = "message"
    id: str | None = None
    retry_ms: int | None = None


def message(data: bytes, *, id: str | None = None) -> bytes:
    """Return one `message` event carrying `data`, one line of JSON.

    Raises ValueError where data or id would break out of its field: a client would read another event than was meant.
    """
    if b"\n" in data or b"\r" in data:
        raise ValueError("SSE data must be one line")
    if id is None:
        return b"event: message\ndata: " + data + b"\n\n"
    return b"id: " + _id(id) + b"\nevent: message\ndata: " + data + b"\n\n"


def priming(id: str, retry_ms: int) -> bytes:
    """Return the event that gives a client an id to resume from before anything was said (SEP-1699)."""
    return b"id: " + _id(id) + b"\nretry: " + str(retry_ms).encode() + b"\ndata:\n\n"


def retry(retry_ms: int) -> bytes:
    """Return a block that only sets how long the client waits before it reconnects."""
    return b"retry: " + str(retry_ms).encode() + b"\n\n"


def _id(id: str) -> bytes:
    if "\n" in id or "\r" in id or "\0" in id:
        raise ValueError("an SSE id must be one line without NUL")
    return id.encode()


class Decoder:
    """Turns chunks of an event stream into events, wherever the chunks were cut.

    Raises ValueError when one event grows past `limit_bytes`: a stream that never ends a line must not fill memory.
    """

    def __init__(self, *, limit_bytes: int = 16 * 1024 * 1024) -> None:
        self._limit = limit_bytes
        self._rest = b""
        self._size = 0
        self._first = True
        self._after_cr = False
        self._data: list[str] = []
        self._event = ""
        self._last_id: str | None = None
        self._retry: int | None = None

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield every event that `chunk` completes."""
        for line in self._lines(chunk):
            self._size += len(line) + 1
            if self._size > self._limit:
                raise ValueError(f"an event is longer than {self._limit} bytes")
            event = self._line(line.decode("utf-8", "replace"))
            if event is not None:
                yield event

    def _lines(self, chunk: bytes) -> Iterator[bytes]:
        if self._after_cr and chunk:
            # The CR at the end of the last chunk already ended its line; its LF must not end another.
            chunk = chunk[1:] if chunk.startswith(b"\n") else chunk
            self._after_cr = False
        buffer = self._rest + chunk
        if self._first and len(buffer) >= 3:
            buffer = buffer.removeprefix(b"\xef\xbb\xbf")
            self._first = False
        lines = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._after_cr = buffer.endswith(b"\r")
        self._rest = lines.pop()
        if len(self._rest) > self._limit:
            raise ValueError(f"a line is longer than {self._limit} bytes")
        yield from lines

    def _line(self, line: str) -> Event | None:
        if line == "":
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._event = value
        elif field == "id" and "\0" not in value:
            self._last_id = value
        elif field == "retry" and value.isascii() and value.isdigit():
            self._retry = int(value)
        return None

    def _dispatch(self) -> Event | None:
        data, event, retry_ms = self._data, self._event, self._retry
        self._data, self._event, self._retry, self._size = [], "", None, 0
        if not data and retry_ms is None:
            return None
        return Event("\n".join(data), event or "message", self._last_id, retry_ms)
