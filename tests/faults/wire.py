"""A cheap HTTP/1.1 connection that keeps what came before a break: one request at a time, events as they come."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

import httptools

from portside.wire.sse import Decoder, Event

_LOCAL: Final = "127.0.0.1"


@dataclass(slots=True)
class Answer:
    """What came of one request. `status` 0: not even a head. `is_complete`: all of it came, or all that was awaited.

    `is_late`: it was given up. `body` is empty for a stream, whose events are in `events`.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    events: list[Event] = field(default_factory=list[Event])
    is_complete: bool = False
    is_late: bool = False


class Connection(asyncio.Protocol):
    """One connection to a port of this machine; `is_usable` for another request while true."""

    def __init__(self) -> None:
        self.is_usable = False
        self._transport: asyncio.Transport | None = None
        self._answer = Answer()
        self._parser: httptools.HttpResponseParser | None = None
        self._decoder: Decoder | None = None
        self._done: asyncio.Future[None] | None = None
        self._is_last: Callable[[Event], bool] | None = None
        self._keeps_alive = False

    async def ask(self, request: bytes, *, timeout_s: float, is_last: Callable[[Event], bool] | None = None) -> Answer:
        """Send a request and return what came of it; never raises for what the other end does.

        With `is_last` a stream is left with the first event of which it is true: streams that have no end.
        """
        answer = self._answer = Answer()
        self._parser, self._decoder, self._is_last = httptools.HttpResponseParser(self), None, is_last
        self._done = asyncio.get_running_loop().create_future()
        if self._transport is None or self._transport.is_closing():
            self.is_usable = False
            return answer
        self.is_usable = False
        self._transport.write(request)
        try:
            async with asyncio.timeout(timeout_s):
                await self._done
        except TimeoutError:
            answer.is_late = True
        finally:
            self._done = None
            if not self.is_usable:
                self.close()
        return answer

    def close(self) -> None:
        """Drop the connection; may be called twice."""
        self.is_usable = False
        if self._transport is not None:
            self._transport.abort()

    # -- what the loop says ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not its subclasses
        self.is_usable = True

    def data_received(self, data: bytes) -> None:
        if self._parser is None or self._done is None:
            self.close()  # nobody asked
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._answer.is_complete = False
            self._end(keep=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_usable = False
        self._end(keep=False)

    # -- what the parser says -------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        self._answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._parser is None:
            return
        self._answer.status = self._parser.get_status_code()
        self._keeps_alive = self._parser.should_keep_alive()
        if self._answer.headers.get("content-type", "").startswith("text/event-stream"):
            self._decoder = Decoder()

    def on_body(self, data: bytes) -> None:
        if self._decoder is None:
            self._answer.body += data
            return
        for event in self._decoder.feed(data):
            self._answer.events.append(event)
            if self._is_last is not None and self._is_last(event):
                self._answer.is_complete = True
                self._end(keep=False)
                return

    def on_message_complete(self) -> None:
        if self._answer.status >= 200:
            self._answer.is_complete = True
            self._end(keep=self._keeps_alive)

    def _end(self, *, keep: bool) -> None:
        if self._done is not None and not self._done.done():
            self.is_usable = keep
            self._done.set_result(None)


class Connections:
    """Connections to one port, kept between requests; close them with `close`."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.port = port
        self._tls = tls
        self._idle: list[Connection] = []

    async def ask(
        self, request: bytes, *, timeout_s: float, is_last: Callable[[Event], bool] | None = None
    ) -> Answer | None:
        """Ask on a kept connection or a new one; None where none can be made."""
        connection = await self._take(timeout_s)
        if connection is None:
            return None
        try:
            return await connection.ask(request, timeout_s=timeout_s, is_last=is_last)
        finally:
            if connection.is_usable:
                self._idle.append(connection)

    def close(self) -> None:
        """Drop what is kept."""
        while self._idle:
            self._idle.pop().close()

    async def _take(self, timeout_s: float) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
        name = "localhost" if self._tls else None
        try:
            async with asyncio.timeout(timeout_s):
                _, connection = await asyncio.get_running_loop().create_connection(
                    Connection, _LOCAL, self.port, ssl=self._tls, server_hostname=name
                )
        except (OSError, TimeoutError):
            return None
        return connection
