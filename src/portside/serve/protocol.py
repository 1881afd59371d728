"""uvicorn's HTTP protocol with the bounds it lacks: on heads, queued requests, stalled readers and connections."""

import asyncio
import socket
from typing import Any, ClassVar, Final

import httptools

from portside.serve.corked import Corked
from portside.serve.ending import BETWEEN, BODY, HEAD, Bounds, Ending
from portside.serve.refused import status_of

MAX_QUEUED: Final = 16
"""Requests that may wait on one connection for the answers before theirs."""

UNSENT_BYTES: Final = 128 * 1024
"""What the kernel takes of an answer beyond what is under way: its buffers count as memory of the container."""


def protocol_class(
    *,
    header_timeout_s: float,
    max_header_bytes: int,
    max_url_bytes: int,
    max_connections: int,
    send_timeout_s: float = 30.0,
) -> "type[Connection]":
    """Return a protocol class with these bounds, for uvicorn's `http=`; for one server, since it counts connections.

    A head must be complete `header_timeout_s` after its connection opened or its first byte came (408, or a silent
    close where nothing came), and is refused (414, 431) as soon as it is too long. What is written must have left for
    the kernel within `send_timeout_s`, or the connection is reset. What is no HTTP is refused after the answers to the
    requests before it, and nothing that follows a refusal is read as a request.
    """
    allowed = Bounds(header_timeout_s, max_header_bytes, max_url_bytes, max_connections, send_timeout_s)

    class Bounded(Connection):
        """A connection of one server."""

        __slots__ = ()
        bounds = allowed

    return Bounded


class _Stopped(Exception):
    """Ends the parser's run from within: the rest of what has been read is nobody's request."""


class _Trailers:
    """Where uvicorn puts header lines that come after a body: counted and not kept, since nobody acts on them."""

    __slots__ = ("_left",)

    def __init__(self, limit: int) -> None:
        self._left = limit

    def append(self, pair: tuple[bytes, bytes]) -> None:
        self._left -= len(pair[0]) + len(pair[1]) + 4
        if self._left < 0:
            raise _Stopped


FAREWELL_S: Final = 1.0
"""How long a client over TLS may take to answer that the connection ends, when the process is about to."""


class Connection(Ending):
    """One connection, within `bounds`. Once its server `is_leaving`, every answer says that it was the last."""

    __slots__ = ("_framing_bytes", "_has_ended", "_head_bytes", "_read_bytes", "_tls")

    is_leaving: ClassVar[bool] = False

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head_bytes = 0  # of a head that is not complete yet: at least 1 where there is one
        self._read_bytes = 0  # the same, with all of the current read
        self._framing_bytes = 0  # of chunk sizes, extensions and trailers, less those of the body
        self._has_ended = False  # whether a head or a body came to its end in the current read
        self._tls: dict[str, Any] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # From here on, a pause in writing means that the kernel takes no more.
        transport.set_write_buffer_limits(high=1, low=0)
        shown = transport.get_extra_info("ssl_object")
        self._tls = None if shown is None else {"client_certificate": shown.getpeercert()}
        self._set(socket.IPPROTO_TCP, getattr(socket, "TCP_NOTSENT_LOWAT", None), UNSENT_BYTES)
        if len(self.bounds.admitted) >= self.bounds.max_connections:
            self._refuse(503)
            return
        self.bounds.admitted.add(self)
        self._deadline.start(self.bounds.header_timeout_s, self._too_slow)

    def shutdown(self) -> None:
        """End an idle connection; over TLS not waiting long for a client that does not say goodbye."""
        super().shutdown()
        if self._tls is not None and self.transport.is_closing():
            self.loop.call_later(FAREWELL_S, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self.bounds.admitted.discard(self)
        self.bounds.lingering.discard(self)
        for timer in (self._deadline, self._stall, self._linger_timer, self._idle):
            timer.stop()
        self.pipeline.clear()
        # uvicorn tells only the newest request, and the one being answered may be another.
        self._abandon()
        super().connection_lost(exc)

    # -- reading --------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            self._throw_away(len(data))
            return
        self._unset_keepalive_if_required()
        self._has_ended = self._phase == BODY
        self._read_bytes = self._head_bytes + len(data)
        self._framing_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._is_deaf = True
        except httptools.HttpParserError:
            self._refuse(400)
        if self._phase == BODY:
            # A body in chunks of one byte would cost more than one a thousand times as large.
            if self._framing_bytes > self.bounds.max_header_bytes:
                self._refuse(431)
        elif self._phase == HEAD or not self._has_ended:
            self._await_head()

    def _await_head(self) -> None:
        # Where something else came to its end in this read, how much of it belongs to the head is not known.
        self._head_bytes = self._head_bytes + 1 if self._has_ended else self._read_bytes
        if self._head_bytes > self.bounds.max_header_bytes:
            self._refuse(431)
        elif not (self._is_deaf or self._is_answering()):
            self._deadline.start(self.bounds.header_timeout_s, self._too_slow)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._tls is not None:
            self.scope["extensions"] = {"tls": self._tls}
        self._phase = HEAD

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self.bounds.max_url_bytes:
            self._stop(414)

    def on_headers_complete(self) -> None:
        self._deadline.stop()
        if self.transport.is_closing():
            self._is_deaf = True
            raise _Stopped
        if self._read_bytes > self.bounds.max_header_bytes and self._size() > self.bounds.max_header_bytes:
            self._stop(431)
        upgrades = self.parser.should_upgrade()
        status = status_of(self.url, self.headers, upgrades=upgrades)
        if status is not None or len(self.pipeline) >= MAX_QUEUED:
            self._stop(status or 503)
        super().on_headers_complete()
        corked = Corked(self.transport, self.loop, self._end, follows=self.scope["method"] != "HEAD")
        self.cycle.transport = self.scope["portside.cork"] = corked
        if upgrades or self.is_leaving:
            # An upgrade is declined by answering as usual; what comes after may be meant for another protocol.
            self.cycle.keep_alive = False
        self._phase, self._has_ended = BODY, True
        self._head_bytes = self._framing_bytes = 0
        self.headers = _Trailers(self.bounds.max_header_bytes)

    def on_body(self, body: bytes) -> None:
        self._framing_bytes -= 2 * len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        # Known before the application runs, nearly always: then it need not guard its wait for the body.
        self.scope["portside.complete"] = True
        self._phase = BETWEEN
        super().on_message_complete()

    def _should_upgrade(self) -> bool:
        return False

    def _size(self) -> int:
        """Return how long the head is, in its shortest form."""
        line = len(self.parser.get_method()) + len(self.url) + len(b"  HTTP/1.1\r\n\r\n")
        return line + sum(len(name) + len(value) + 4 for name, value in self.headers)

    # -- answering ------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """Go on with what came meanwhile: the next request, a refusal that waited for its turn, or a head half read."""
        self.server_state.total_requests += 1
        if self._is_lingering or self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._rest()
        if self._owed is not None:
            self._say(self._owed)
        elif self._phase == BODY:
            # Nobody waits for the rest of a body that nobody wanted.
            self._end()
        elif self._head_bytes:
            self._deadline.start(self.bounds.header_timeout_s, self._too_slow)

    def _too_slow(self) -> None:
        if self._head_bytes:
            self._refuse(408)
        else:
            self.transport.close()

    def _stop(self, status: int) -> None:
        self._refuse(status)
        raise _Stopped
