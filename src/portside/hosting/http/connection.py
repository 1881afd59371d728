"""One connection of the HTTP client: requests go out one after the other, each answer is parsed as it comes."""

import asyncio
import math
import select
import socket
from typing import Any, Final, Protocol, cast

import httptools

from portside.errors import HostGone
from portside.hosting.http.response import HIGH_WATER, HttpResponse
from portside.hosting.http.transport import Dropped

MAX_INTERIM: Final = 16
MAX_HEADERS: Final = 256
_KEEP_ALIVE: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))


class Owner(Protocol):
    """Who keeps the connections."""

    name: str
    max_head_bytes: int
    head_s: float
    read_s: float

    def finished(self, connection: "Connection", *, is_reusable: bool) -> None:
        """The answer under way is complete."""
        ...

    def lost(self, connection: "Connection") -> None:
        """The connection is gone."""
        ...


class Connection(asyncio.Protocol):
    """A connection to one origin. `deadline`: when its owner gives up waiting, on the loop's clock."""

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self.owner = owner
        self.loop = loop
        self.deadline = math.inf
        self.is_lasting = False
        self.uses = 0
        self.response: HttpResponse | None = None
        self.keep_alive_s: float | None = None
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._poll: Any = None
        self._head_bytes = 0
        self._header_count = 0
        self._interim = 0
        self._keeps = False
        self._ends_with_connection = False
        self._is_paused = False
        self._is_lost = False

    def __repr__(self) -> str:
        return f"<Connection to {self.owner.name} uses={self.uses} is_lost={self._is_lost}>"

    @property
    def is_lost(self) -> bool:
        """Whether the connection has ended."""
        return self._is_lost

    @property
    def is_usable(self) -> bool:
        """Whether a request may be written: the server has neither closed the connection nor said anything unasked.

        The socket itself is asked too, since the loop learns of a close only when it comes round.
        """
        transport = self._transport
        if self._is_lost or self.response is not None or transport is None or transport.is_closing():
            return False
        return self._poll is None or not self._poll.poll(0)

    def ask(self, data: bytes, *, is_lasting: bool) -> HttpResponse:
        """Write a request and return its answer to be. Only for a connection that is usable."""
        response = self.response = HttpResponse(self, self.owner.name, self.loop)
        self.is_lasting = is_lasting
        self.uses += 1
        self._head_bytes = self._header_count = self._interim = 0
        self.deadline = self.loop.time() + self.owner.head_s
        cast("asyncio.Transport", self._transport).write(data)
        return response

    def give_up(self, reason: str) -> None:
        """Fail the answer under way and abort the connection."""
        self._fail(HostGone(f"{self.owner.name} {reason}"))

    def resume(self) -> None:
        """Let the server go on sending."""
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once; a server that still works on an answer sees its client leave."""
        self.response = None
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close an idle connection in order."""
        if self._transport is not None:
            self._transport.close()

    # -- what the loop tells --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is None or not hasattr(select, "poll"):
            return
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEP_ALIVE:
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._poll = select.poll()
        self._poll.register(sock.fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        response = self.response
        if response is None:
            self.abort()  # said without being asked: the next answer could not be told from it
            return
        if not response.has_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(HostGone(f"{self.owner.name} switched protocols without being asked"))
            return
        except httptools.HttpParserError as error:
            cause = error.__context__ if isinstance(error.__context__, HostGone) else None
            if not response.is_complete:
                self._fail(cause or HostGone(f"{self.owner.name} answered with no valid HTTP: {error}"))
                return
            self._keeps = False
        self._settle(response)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._poll = None
        response, self.response = self.response, None
        if response is not None:
            if response.has_head and self._ends_with_connection and exc is None:
                response.is_complete = True
                response.wake()
            else:
                response.fail(self._broken(response, exc))
        self.owner.lost(self)

    # -- what the parser tells ------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.response is not None and self.response.is_complete:
            self._keeps = False

    def on_header(self, name: bytes, value: bytes) -> None:
        response = self.response
        if response is None or response.has_head:
            return  # a trailer, or nothing anybody asked for
        self._header_count += 1
        if self._header_count > MAX_HEADERS:
            raise HostGone(f"{self.owner.name} answered with more than {MAX_HEADERS} headers")
        name = name.lower()
        known = response.headers.get(name)
        response.headers[name] = value if known is None else known + b", " + value

    def on_headers_complete(self) -> None:
        response = self.response
        if response is None or response.has_head:
            self._keeps = False  # more than one answer to one request
            return
        status = self._parser.get_status_code()
        if status < 200:
            self._pass_over(response, status)
            return
        coding = response.headers.get(b"transfer-encoding")
        if coding is not None and coding.strip().lower() != b"chunked":
            raise HostGone(f"{self.owner.name} answered in the transfer encoding {coding[:40]!r}; expected chunked")
        response.status = status
        response.has_head = True
        self._keeps = self._parser.should_keep_alive()
        bare = coding is None and b"content-length" not in response.headers
        self._ends_with_connection = bare and status not in (204, 304)
        if b"keep-alive" in response.headers:
            self.keep_alive_s = _keep_alive(response.headers[b"keep-alive"])

    def on_body(self, data: bytes) -> None:
        response = self.response
        if response is None or response.is_complete:
            self._keeps = False
        elif response.add(data) > HIGH_WATER and not self._is_paused:
            self._is_paused = True
            cast("asyncio.Transport", self._transport).pause_reading()

    def on_message_complete(self) -> None:
        response = self.response
        if response is not None and response.has_head:
            response.is_complete = True

    def _settle(self, response: HttpResponse) -> None:
        """Look at where the answer is after a piece of it was parsed."""
        owner = self.owner
        if response.is_complete:
            self.response = None
            self.resume()
            owner.finished(self, is_reusable=self._keeps)
        elif not response.has_head:
            if self._head_bytes > owner.max_head_bytes:
                self._fail(HostGone(f"{owner.name} answered with a head of more than {owner.max_head_bytes} bytes"))
            return  # the deadline of the head stands, however slowly it drips
        else:
            self.deadline = math.inf if self.is_lasting else self.loop.time() + owner.read_s
        response.wake()

    def _pass_over(self, response: HttpResponse, status: int) -> None:
        self._interim += 1
        if status != 101 and self._interim > MAX_INTERIM:
            raise HostGone(f"{self.owner.name} sent more than {MAX_INTERIM} interim answers")
        response.headers.clear()

    def _fail(self, error: HostGone) -> None:
        response = self.response
        self.abort()
        if response is not None:
            response.fail(error)

    def _broken(self, response: HttpResponse, exc: Exception | None) -> HostGone:
        cause = f" ({_reason(exc)})" if exc is not None else ""
        name = self.owner.name
        if response.has_head or self._head_bytes:
            return HostGone(f"{name} broke off its answer{cause}; whether it did what was asked is unknown")
        return Dropped(f"{name} closed the connection before it answered{cause}; the outcome is unknown")


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error or type(error).__name__)


def _keep_alive(value: bytes) -> float | None:
    """Return the seconds in `timeout=5, max=100`: how long the server keeps an idle connection."""
    for part in value.split(b","):
        name, _, number = part.strip().partition(b"=")
        if name.lower() == b"timeout" and number.isdigit():
            return float(number[:9])
    return None
