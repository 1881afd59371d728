"""uvicorn's HTTP protocol with the bounds it lacks: slow and long heads, too many connections."""

import asyncio
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LINGER_S: Final = 1.0
"""How long a refused client may go on sending before the connection is closed under it."""

_ANSWERS: Final = {
    408: b"HTTP/1.1 408 Request Timeout\r\n",
    414: b"HTTP/1.1 414 URI Too Long\r\n",
    431: b"HTTP/1.1 431 Request Header Fields Too Large\r\n",
    503: b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n",
}


class Corked:
    """A transport for one response that sends its head together with the first of its body: one system call less.

    A head that no body follows at once goes out by itself as soon as the loop comes round.
    """

    __slots__ = ("_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        """Hold the first piece back for a moment; send every other."""
        if self._head is None:
            self._head = data
            self._loop.call_soon(self.flush)
        elif self._head:
            head, self._head = self._head, b""
            self._transport.write(head + data)
        elif data:
            self._transport.write(data)

    def flush(self) -> None:
        """Send what is held back."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def close(self) -> None:
        """Send what is held back, and close the connection."""
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Say whether the connection is being closed."""
        return self._transport.is_closing()


def protocol_class(
    *, header_timeout_s: float, max_header_bytes: int, max_url_bytes: int, max_connections: int
) -> type[HttpToolsProtocol]:
    """Return a protocol class with these bounds, for uvicorn's `http=`.

    A head must be complete `header_timeout_s` after its connection opened or its first byte came (408, or a silent
    close where nothing came); its bytes are counted before anything is parsed (414, 431).
    """

    class Bounded(HttpToolsProtocol):
        """One connection."""

        _head_bytes = 0
        _url_bytes = 0
        _is_refused = False
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > max_connections:
                self._refuse(503)
                return
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._relax()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._is_refused:
                return
            if self._deadline is not None or (self._is_between() and not self._is_whole_head(data)):
                if self._deadline is None:
                    self._watch()
                self._head_bytes += len(data)
                # One read may hold the end of the head and much of the body; only an open head counts.
                if self._head_bytes > max_header_bytes and b"\r\n\r\n" not in data[: max_header_bytes + 4]:
                    self._relax()
                    self._refuse(431)
                    return
            super().data_received(data)

        def on_url(self, url: bytes) -> None:
            self._url_bytes += len(url)
            if self._url_bytes <= max_url_bytes:
                super().on_url(url)
            else:
                self._refuse(414)

        def on_headers_complete(self) -> None:
            self._relax()
            if not (self._is_refused or self.transport.is_closing()):
                super().on_headers_complete()
                cast("Any", self).cycle.transport = Corked(self.transport, self.loop)

        def on_message_complete(self) -> None:
            # Known before the application runs, nearly always: then it need not guard its wait for the body.
            cast("dict[str, Any]", self.scope)["portside.complete"] = True
            super().on_message_complete()

        def on_message_begin(self) -> None:
            self._url_bytes = 0
            super().on_message_begin()

        def _is_whole_head(self, data: bytes) -> bool:
            """Whether a request's head came in one piece, as nearly all do: then nothing needs watching."""
            return b"\r\n\r\n" in data[: max_header_bytes + 4]

        def _is_between(self) -> bool:
            """Whether no request is being read or answered on this connection."""
            cycle = cast("Any", self).cycle
            return cycle is None or cycle.response_complete

        def _watch(self) -> None:
            self._head_bytes = 0
            self._deadline = self.loop.call_later(header_timeout_s, self._too_slow)

        def _relax(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None
            self._head_bytes = 0

        def _too_slow(self) -> None:
            self._deadline = None
            if self._head_bytes:
                self._refuse(408)
            else:
                self.transport.close()

        def _refuse(self, status: int) -> None:
            if self._is_refused or self.transport.is_closing():
                return
            self.transport.write(_ANSWERS[status] + b"connection: close\r\ncontent-length: 0\r\n\r\n")
            if not self.transport.can_write_eof():
                self.transport.close()
                return
            # Closing while bytes are still coming in would reset the connection, and the answer with it.
            self._is_refused = True
            self.transport.write_eof()
            self.loop.call_later(LINGER_S, self.transport.close)

    return Bounded
