"""One open SSE response: events as they come, comments while nothing does."""

import asyncio
from collections import deque
from typing import Final

from portside.gateway.http import Headers, Incoming, Outgoing
from portside.wire import sse

STREAM_HEADERS: Final[Headers] = (
    (b"content-type", sse.CONTENT_TYPE),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)

MAX_BACKLOG_BYTES: Final = 256 * 1024


class EventStream:
    """Writes blocks to one client, in order. Closed streams swallow what still comes.

    `write` waits for a slow reader, so that whoever produces events slows down with it. `post` never waits; past
    `max_backlog` waiting blocks, or MAX_BACKLOG_BYTES in several, the stream is closed, and a legacy client resumes it
    by its last event id.
    """

    __slots__ = (
        "_backlog",
        "_backlog_bytes",
        "_ending",
        "_keepalive_s",
        "_max_backlog",
        "_out",
        "_pump",
        "_timer",
        "is_closed",
        "is_open",
    )

    def __init__(self, out: Outgoing, *, keepalive_s: float, max_backlog: int = 1024) -> None:
        self._out = out
        self._keepalive_s = keepalive_s
        self._max_backlog = max_backlog
        self._backlog: deque[bytes] | None = None
        self._backlog_bytes = 0
        self._pump: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.is_open = False
        self.is_closed = False

    async def open(self, incoming: Incoming, headers: Headers = ()) -> None:
        """Send the response's head. From here on the request no longer counts as being admitted."""
        self.is_open = True
        incoming.record.stream = True
        incoming.release()
        await self._out.start(200, [*STREAM_HEADERS, *headers])
        # Some front ends hold the head back until the first byte of the body.
        await self._out.write(b"", more=True)
        self._rest()

    async def write(self, block: bytes) -> None:
        """Send one block, waiting for a slow reader."""
        if not self.is_closed:
            await self._out.write(block, more=True)

    def post(self, block: bytes) -> None:
        """Send one block soon, without waiting."""
        if self.is_closed:
            return
        if self._backlog is None:
            self._backlog = deque()
        self._backlog.append(block)
        self._backlog_bytes += len(block)
        is_too_long = len(self._backlog) > 1 and self._backlog_bytes > MAX_BACKLOG_BYTES
        if is_too_long or len(self._backlog) > self._max_backlog:
            self._backlog.clear()
            self._backlog_bytes = 0
            self.end_soon()
        elif self._pump is None:
            self._pump = asyncio.create_task(self._drain(), name="stream-pump")

    def end_soon(self, block: bytes = b"") -> None:
        """Close the stream from where waiting is not possible, after what is posted already."""
        if not self.is_closed:
            if block:
                self.post(block)
            if self._ending is None:
                self._ending = asyncio.create_task(self._finish(), name="stream-end")

    async def close(self, block: bytes = b"") -> None:
        """Send a last block and end the response. May be called twice."""
        if self.is_closed:
            return
        self.is_closed = True
        self.stop()
        await self._out.write(block, more=False)

    async def finished(self) -> None:
        """Return once what was posted is written and an end asked for has come."""
        while self._pump is not None or self._ending is not None:
            waiting = self._ending if self._ending is not None else self._pump
            if waiting is not None:
                await asyncio.wait([waiting])

    async def until_over(self, out: Outgoing) -> None:
        """Return when the client has left or the stream has been closed: the server reports both alike."""
        await out.gone()
        await self.finished()

    def stop(self) -> None:
        """Stop the comments, where the response is over without `close`: its client has left."""
        self.is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _finish(self) -> None:
        if self._pump is not None:
            await asyncio.wait([self._pump])
        await self.close()
        self._ending = None

    async def _drain(self) -> None:
        try:
            while self._backlog:
                block = self._backlog.popleft()
                self._backlog_bytes -= len(block)
                await self.write(block)
        finally:
            self._pump = None

    def _rest(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._keepalive_s, self._comment)

    def _comment(self) -> None:
        if not self.is_closed:
            if not self._backlog:
                self.post(sse.KEEP_ALIVE)
            self._rest()
