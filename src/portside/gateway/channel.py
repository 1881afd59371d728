"""One resumable stream of a legacy session, and the answer that is written to it."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from portside.errors import Fenced, StateUnavailable
from portside.gateway.answer import Answer
from portside.gateway.http import Headers, Incoming, Outgoing
from portside.gateway.options import Options
from portside.gateway.ownership import Ownership
from portside.gateway.stream import EventStream
from portside.gateway.ticker import Ticker
from portside.state.base import Streams
from portside.wire import refusal, sse
from portside.wire.message import Message

_log = logging.getLogger("portside.gateway")

STANDALONE: Final = "0"
"""The stream a GET opens: what the server says outside any call."""

MAX_WAITING: Final = 64
"""Events kept for a stream that nobody listens on: of a session's standalone stream, and while state is away."""


class Channel:
    """One resumable stream of a session: events are stored before they are written, whoever is listening.

    A client that comes back gets what it missed from the store, then what happens next, each event exactly once. While
    the store is away, events go out without an id: they are delivered, and cannot be asked for again. `call` notes what
    this stream has to answer, for a replica that may have to go on with it.
    """

    __slots__ = (
        "_call",
        "_events",
        "_has_ids",
        "_is_replaying",
        "_last",
        "_ownership",
        "_sink",
        "_turn",
        "_waiting",
        "id",
        "is_finished",
    )

    def __init__(self, ownership: Ownership, id: str, events: Streams, call: bytes | None = None) -> None:
        self.id = id
        self.is_finished = False
        self._ownership = ownership
        self._events = events
        self._call = call
        self._sink: EventStream | None = None
        self._is_replaying = False
        self._has_ids = False
        self._last = 0
        self._turn = asyncio.Lock()
        self._waiting: deque[bytes] | None = None

    @property
    def has_listener(self) -> bool:
        """Whether somebody is connected to this stream now."""
        return self._sink is not None and not self._sink.is_closed

    def note(self, call: bytes) -> None:
        """Say what the stream has to answer; before its first event."""
        self._call = call

    async def prime(self, retry_ms: int) -> bytes:
        """Return a block that gives a client an id to resume from; nothing where no id can be had now."""
        async with self._turn:
            event_id = await self._append(b"")
        return sse.priming(event_id, retry_ms) if event_id is not None else b""

    async def emit(self, data: bytes, *, is_last: bool = False) -> None:
        """Store one message and send it to whoever listens; on a standalone stream it waits for a listener."""
        # In turn: two events must reach the client in the order in which they were stored.
        async with self._turn:
            event_id = await self._append(data, is_last=is_last)
            if self._ownership.is_lost and (self._has_ids or not is_last):
                return  # whoever has the session now goes on with the stream, for a client that can resume it
            block = sse.message(data, id=event_id)
            if not self.has_listener:
                if self.id == STANDALONE or event_id is None:
                    self._waiting = self._waiting if self._waiting is not None else deque(maxlen=MAX_WAITING)
                    self._waiting.append(block)
            elif self._sink is not None and not self._is_replaying and self._is_news(event_id):
                self._sink.post(block)

    def listen(self, sink: EventStream) -> None:
        """Make `sink` the listener; the newest one gets the events, each on one connection only."""
        self._sink = sink
        for block in self._waiting or ():
            sink.post(block)
        self._waiting = None

    async def resume(self, sink: EventStream, event_id: str) -> None:
        """Replay what followed `event_id` into `sink`, then go on live.

        Raises StateUnavailable: then `sink` has got some of it, and is not the listener any more.
        """
        self._sink, self._is_replaying = sink, True
        self._last = _sequence(event_id)
        try:
            while await self._replay(sink):
                pass
            async with self._turn:
                await self._replay(sink)
                for block in self._waiting or ():
                    if not block.startswith(b"id: "):
                        await sink.write(block)
                self._waiting = None
        except StateUnavailable:
            self.leave(sink)
            raise
        finally:
            self._is_replaying = False

    async def _replay(self, sink: EventStream) -> bool:
        tail = await self._events.after(self._ownership.session, f"{self.id}.{self._last}")
        for event in tail.events if tail is not None else ():
            await sink.write(sse.message(event.data, id=event.id))
            self._last = _sequence(event.id)
        return tail is not None and bool(tail.events)

    def leave(self, sink: EventStream) -> None:
        """Forget a listener that has gone; a newer one stays."""
        if self._sink is sink:
            self._sink = None

    def finish(self) -> None:
        """End the stream: its call has been answered."""
        self.is_finished = True
        if self._sink is not None and not self._is_replaying:
            self._sink.end_soon()

    def end(self, block: bytes = b"") -> None:
        """Close the listener's connection, with a last block."""
        if self._sink is not None:
            self._sink.end_soon(block)

    def _is_news(self, event_id: str | None) -> bool:
        if event_id is None:
            return True
        sequence = _sequence(event_id)
        if sequence <= self._last:
            return False
        self._last = sequence
        return True

    async def _append(self, data: bytes, *, is_last: bool = False) -> str | None:
        """Store one event and return its id; None where it cannot be stored, since state is away or not ours."""
        own, call = self._ownership, self._call
        if own.is_lost:
            return None
        try:
            event_id = await self._events.append(
                own.session, self.id, data, epoch=own.epoch, call=call, is_last=is_last
            )
        except Fenced:
            own.lose()
            return None
        except StateUnavailable as error:
            _log.warning("an event of a session goes out without an id: %s", error.message)
            return None
        self._call = None
        self._has_ids = True
        return event_id


def _sequence(event_id: str) -> int:
    return int(event_id.rpartition(".")[2])


class LegacyAnswer(Answer):
    """The answer to one POST of a session. Once it is a stream, its events can be asked for again."""

    __slots__ = ("_channel", "_note", "_primed", "_retry_ms")

    def __init__(
        self,
        incoming: Incoming,
        out: Outgoing,
        options: Options,
        *,
        ticker: Ticker,
        channel: Channel,
        is_primed: bool,
        note: Callable[[], Awaitable[bytes]] | None = None,
        headers: Headers = (),
    ) -> None:
        super().__init__(incoming, out, options, ticker=ticker, on_gone=self._left, headers=headers)
        self._channel = channel
        self._note = note
        self._primed = is_primed
        self._retry_ms = options.retry_ms

    async def primed(self, stream: EventStream) -> None:
        if self._note is not None:
            self._channel.note(await self._note())
        if self._primed:
            await stream.write(await self._channel.prime(self._retry_ms))
        self._channel.listen(stream)

    async def write(self, data: bytes) -> None:
        await self.commit()
        await self._channel.emit(data)

    async def finish(self, message_: Message, *, status: int | None = None) -> None:
        if self._opening is None:
            await super().finish(message_, status=status)
            return
        stream = await self.commit()
        self.note(message_)
        await self._channel.emit(message_.encode(), is_last=True)
        self._channel.finish()
        await stream.finished()
        self.release()

    async def close_stream(self) -> None:
        """End the connection in the middle of the call; its client comes back for the rest (SEP-1699)."""
        stream = await self.commit()
        stream.end_soon(sse.retry(self._retry_ms))

    def status(self, message_: Message) -> int:
        """Return 200, as the era has it; a key that was used otherwise is refused like in the other era."""
        code = message_.error["code"] if message_.error is not None else None
        return refusal.HTTP_STATUS[code] if code in (refusal.KEY_REUSED, refusal.STATE_AWAY) else 200

    def _left(self) -> None:
        """Disconnecting does not cancel a legacy call (MCP 2025-11-25, Transports)."""
        if self.stream is not None:
            self._channel.leave(self.stream)
