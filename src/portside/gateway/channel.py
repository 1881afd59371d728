"""One resumable stream of a legacy session, and the answer that is written to it."""

from collections import deque
from typing import Final

from portside.gateway.answer import Answer
from portside.gateway.http import Headers, Incoming, Outgoing
from portside.gateway.options import Options
from portside.gateway.stream import EventStream
from portside.gateway.ticker import Ticker
from portside.state.base import Streams
from portside.wire import sse
from portside.wire.message import Message

STANDALONE: Final = "0"
"""The stream a GET opens: what the server says outside any call."""

MAX_WAITING: Final = 64
"""Events kept for a session's standalone stream while no client listens on it."""


class Channel:
    """One resumable stream of a session: events are stored before they are written, whoever is listening.

    A client that comes back gets what it missed from the store, then what happens next, each event exactly once.
    """

    __slots__ = ("_events", "_is_replaying", "_last", "_session", "_sink", "_waiting", "id", "is_finished")

    def __init__(self, session: str, id: str, events: Streams) -> None:
        self.id = id
        self.is_finished = False
        self._session = session
        self._events = events
        self._sink: EventStream | None = None
        self._is_replaying = False
        self._last = 0
        self._waiting: deque[bytes] | None = None

    @property
    def has_listener(self) -> bool:
        """Whether somebody is connected to this stream now."""
        return self._sink is not None and not self._sink.is_closed

    async def append(self, data: bytes) -> tuple[str, bytes]:
        """Store one message and return its event id and the block to write."""
        event_id = await self._events.append(self._session, self.id, data)
        return event_id, sse.message(data, id=event_id)

    async def emit(self, data: bytes) -> None:
        """Store one message and send it to whoever listens; on a standalone stream it waits for a listener."""
        event_id, block = await self.append(data)
        if self._sink is None or self._sink.is_closed:
            if self.id == STANDALONE:
                self._waiting = self._waiting if self._waiting is not None else deque(maxlen=MAX_WAITING)
                self._waiting.append(block)
        elif not self._is_replaying and _sequence(event_id) > self._last:
            self._last = _sequence(event_id)
            self._sink.post(block)

    def listen(self, sink: EventStream) -> None:
        """Make `sink` the listener; the newest one gets the events, each on one connection only."""
        self._sink = sink
        for block in self._waiting or ():
            sink.post(block)
        self._waiting = None

    async def resume(self, sink: EventStream, event_id: str) -> None:
        """Replay what followed `event_id` into `sink`, then go on live."""
        self._sink, self._is_replaying, self._waiting = sink, True, None
        self._last = _sequence(event_id)
        while True:
            tail = await self._events.after(self._session, f"{self.id}.{self._last}")
            if tail is None or not tail.events:
                break
            for event in tail.events:
                await sink.write(sse.message(event.data, id=event.id))
                self._last = _sequence(event.id)
        self._is_replaying = False

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


def _sequence(event_id: str) -> int:
    return int(event_id.rpartition(".")[2])


class LegacyAnswer(Answer):
    """The answer to one POST of a session. Once it is a stream, its events can be asked for again."""

    __slots__ = ("_channel", "_primed", "_retry_ms")

    def __init__(
        self,
        incoming: Incoming,
        out: Outgoing,
        options: Options,
        *,
        ticker: Ticker,
        channel: Channel,
        is_primed: bool,
        headers: Headers = (),
    ) -> None:
        super().__init__(incoming, out, options, ticker=ticker, on_gone=self._left, headers=headers)
        self._channel = channel
        self._primed = is_primed
        self._retry_ms = options.retry_ms

    async def primed(self, stream: EventStream) -> None:
        if self._primed:
            event_id, _ = await self._channel.append(b"")
            await stream.write(sse.priming(event_id, self._retry_ms))
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
        await self._channel.emit(message_.encode())
        self._channel.finish()
        await stream.finished()
        self.release()

    async def close_stream(self) -> None:
        """End the connection in the middle of the call; its client comes back for the rest (SEP-1699)."""
        stream = await self.commit()
        stream.end_soon(sse.retry(self._retry_ms))

    def status(self, message_: Message) -> int:
        return 200

    def _left(self) -> None:
        """Disconnecting does not cancel a legacy call (MCP 2025-11-25, Transports)."""
        if self.stream is not None:
            self._channel.leave(self.stream)
