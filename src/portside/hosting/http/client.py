"""An HTTP/1.1 client for one origin: few objects a request, connections kept, every wait bounded.

Ready-made clients cost more for one request than all the rest of a proxied call; this one parses with the server's
own parser and makes no task, timer or stream for a request.
"""

import asyncio
import math
import ssl
from dataclasses import dataclass

from portside.errors import HostBusy, HostGone
from portside.hosting.http.address import Address
from portside.hosting.http.connection import Connection
from portside.hosting.http.places import Places
from portside.hosting.http.response import HttpResponse
from portside.hosting.http.transport import Dropped, Headers, Request, Unreachable, Untrusted
from portside.version import VERSION


@dataclass(frozen=True, slots=True)
class Limits:
    """How much and how long. `head_s`: from the request to the answer's head, so as long as a call may take.

    `read_s`: between two pieces of a body. `idle_s` is below the 5 s after which common servers close an idle
    connection, since a request written into that moment is lost. `wait_s`: for a free connection. Connections with a
    lasting response are counted apart, in `max_streams`.
    """

    max_connections: int = 256
    max_streams: int = 1024
    connect_s: float = 10.0
    head_s: float = 300.0
    read_s: float = 300.0
    idle_s: float = 4.0
    wait_s: float = 10.0
    max_head_bytes: int = 64 * 1024


class Pool:
    """The connections to one origin. A `Transport`; belongs to the loop it is first used on."""

    def __init__(self, address: Address, limits: Limits | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.limits = limits or Limits()
        self.name = address.origin
        self.max_head_bytes = self.limits.max_head_bytes
        self.head_s = self.limits.head_s
        self.read_s = self.limits.read_s
        self._address = address
        self._tls = (tls or ssl.create_default_context()) if address.is_tls else None
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._places = Places(self.name, self.limits.max_connections, self.limits.wait_s)
        self._streams = 0
        self._sweeper: asyncio.TimerHandle | None = None
        self._prefixes: dict[tuple[bytes, bytes], bytes] = {}
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<Pool {self.name} calls={self._places.taken} streams={self._streams} idle={len(self._idle)}>"

    @property
    def open_connections(self) -> int:
        """How many connections there are, idle and busy ones."""
        return len(self._all)

    async def send(self, request: Request) -> HttpResponse:
        """Return the response once its head is here. Raises HostGone, HostBusy, Unreachable, Untrusted.

        A request is written a second time only if it is repeatable and its kept connection ended without a byte.
        """
        data = self._head(request) + request.body
        connection = await self._acquire(request)
        is_fresh = connection.uses == 0
        try:
            return await _ask(connection, data, request)
        except Dropped:
            if is_fresh or not request.is_repeatable:
                raise
        self._drop_idle()  # where one was closed by its server, the others were, or will be in a moment
        return await _ask(await self._acquire(request), data, request)

    async def close(self) -> None:
        """Abort every connection and refuse further requests."""
        self._is_closed = True
        self._places.close(self._closed())
        self._idle.clear()
        for connection in list(self._all):
            connection.give_up("is no longer used: the client was closed")
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    # -- what a connection tells its owner ------------------------------------------------------

    def finished(self, connection: Connection, *, is_reusable: bool) -> None:
        """Keep a connection whose answer is complete, or hand it to whoever waits the longest."""
        if not is_reusable or connection.is_lasting or self._is_closed:
            connection.close()
            return
        if not self._places.offer(connection):
            self._keep(connection)

    def lost(self, connection: Connection) -> None:
        """Forget a connection that is gone; its place goes to whoever waits the longest."""
        if connection not in self._all:
            return  # gone before it was ever handed out
        self._all.remove(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if connection.is_lasting:
            self._streams -= 1
        else:
            self._places.free()

    # -- getting one ----------------------------------------------------------------------------

    async def _acquire(self, request: Request) -> Connection:
        if self._is_closed:
            raise self._closed()
        if request.is_lasting:
            return await self._open_stream()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
            connection.close()
        if self._places.take():
            return await self._open_call()
        while (given := await self._places.wait()) is not None:
            if given.is_usable:
                return given
            given.close()
        return await self._open_call()

    async def _open_stream(self) -> Connection:
        if self._streams >= self.limits.max_streams:
            raise HostBusy(f"{self.name}: all {self.limits.max_streams} streams are in use")
        self._streams += 1
        try:
            connection = await self._connect()
        except BaseException:
            self._streams -= 1
            raise
        connection.is_lasting = True
        return connection

    async def _open_call(self) -> Connection:
        """Connect in a place that was counted before; it is free again where that fails."""
        try:
            return await self._connect()
        except BaseException:
            self._places.free()
            raise

    async def _connect(self) -> Connection:
        loop, address, tls = asyncio.get_running_loop(), self._address, self._tls
        try:
            async with asyncio.timeout(self.limits.connect_s):
                _, connection = await loop.create_connection(
                    lambda: Connection(self, loop),
                    address.host,
                    address.port,
                    ssl=tls,
                    server_hostname=address.host if tls is not None else None,
                )
        except TimeoutError:
            seconds = self.limits.connect_s
            raise Unreachable(f"{self.name} could not be connected to within {seconds:g} s") from None
        except ssl.SSLCertVerificationError as error:
            raise Untrusted(f"{self.name} has no certificate that is trusted here: {error.verify_message}") from error
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise Unreachable(f"{self.name} cannot be connected to: {reason}") from error
        if self._is_closed:
            connection.abort()
            raise self._closed()
        if connection.is_lost:
            raise Unreachable(f"{self.name} closed the connection as soon as it was made")
        self._all.add(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(self._tick_s, self._sweep, loop)
        return connection

    # -- keeping and ending ---------------------------------------------------------------------

    def _keep(self, connection: Connection) -> None:
        promised = connection.keep_alive_s
        idle_s = self.limits.idle_s if promised is None else min(self.limits.idle_s, promised - 1)
        if idle_s <= 0:
            connection.close()
            return
        connection.deadline = connection.loop.time() + idle_s
        self._idle.append(connection)

    def _drop_idle(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @property
    def _tick_s(self) -> float:
        limits = self.limits
        return max(0.01, min(1.0, limits.idle_s / 4, limits.head_s / 4, limits.read_s / 4))

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """End what is past its deadline: one timer for all connections instead of one for each request."""
        now = loop.time()
        for connection in [one for one in self._all if one.deadline <= now]:
            connection.deadline = math.inf
            response = connection.response
            if response is None:
                connection.close()
            elif response.has_head:
                connection.give_up(f"sent nothing for {self.read_s:g} s in the middle of its answer")
            else:
                connection.give_up(f"did not answer within {self.head_s:g} s; the outcome is unknown")
        self._sweeper = loop.call_later(self._tick_s, self._sweep, loop) if self._all else None

    def _closed(self) -> HostGone:
        return HostGone(f"{self.name} is no longer used: the client was closed")

    def _head(self, request: Request) -> bytes:
        key = (request.method, request.target)
        prefix = self._prefixes.get(key)
        if prefix is None:
            host = self._address.authority.encode("ascii")
            prefix = b"%b %b HTTP/1.1\r\nhost: %b\r\nuser-agent: portside/%b" % (*key, host, VERSION.encode("ascii"))
            if len(self._prefixes) < 64:
                self._prefixes[key] = prefix
        return prefix + _lines(request.headers, len(request.body), is_post=request.method == b"POST")


async def _ask(connection: Connection, data: bytes, request: Request) -> HttpResponse:
    response = connection.ask(data, is_lasting=request.is_lasting)
    try:
        await response.head()
    except BaseException:
        response.close()
        raise
    return response


def _lines(headers: Headers, length: int, *, is_post: bool) -> bytes:
    """Return the header lines after the first, and the empty one. Raises ValueError where a value breaks its line."""
    lines = b"".join([b"\r\n%b: %b" % header for header in headers])
    if lines.count(b"\n") != len(headers) or lines.count(b"\r") != len(headers) or b"\0" in lines:
        raise ValueError("a request header holds a line break or NUL")
    return lines + (b"\r\ncontent-length: %d\r\n\r\n" % length if is_post else b"\r\n\r\n")
