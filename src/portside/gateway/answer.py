"""One HTTP response in the making: JSON if the answer comes at once, a stream as soon as it must be one."""

import asyncio
from collections.abc import Callable
from typing import Final

from portside.gateway.http import Headers, Incoming, Outgoing, accepts, reply
from portside.gateway.options import Options
from portside.gateway.stream import EventStream
from portside.gateway.ticker import Ticker
from portside.observe.record import Record
from portside.wire import message, refusal, sse
from portside.wire.message import Message

WATCH_AFTER_S: Final = 0.05
"""How long a call runs before anybody looks whether its client is still there: most end sooner."""


RETRY_AFTER: Final = (b"retry-after", b"1")


class Answer:
    """Collects what is said during one call and ends with its response.

    Modern answers map error codes to HTTP status and carry no event ids. `on_gone` is called once if the client leaves
    first, `on_deadline` once the call has taken too long.
    """

    __slots__ = (
        "_deadline",
        "_headers",
        "_loop",
        "_on_deadline",
        "_on_gone",
        "_opening",
        "_options",
        "_out",
        "_ticker",
        "_timer",
        "_watch",
        "incoming",
        "is_done",
        "may_stream",
        "stream",
    )

    def __init__(
        self,
        incoming: Incoming,
        out: Outgoing,
        options: Options,
        *,
        ticker: Ticker,
        on_gone: Callable[[], None],
        on_deadline: Callable[[], None] | None = None,
        headers: Headers = (),
    ) -> None:
        self.incoming = incoming
        self.may_stream = accepts(incoming, sse.CONTENT_TYPE)
        self.stream: EventStream | None = None
        self.is_done = False
        self._out = out
        self._options = options
        self._headers = headers
        self._on_gone = on_gone
        self._on_deadline = on_deadline
        self._deadline: asyncio.TimerHandle | None = None
        self._watch: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[EventStream] | None = None
        self._loop = ticker.loop
        self._timer: asyncio.TimerHandle | None = None
        self._ticker = ticker
        # Time-outs and the client's leaving matter only to calls that take long.
        ticker.add(self)

    @property
    def record(self) -> Record:
        """The record of the request being answered."""
        return self.incoming.record

    @property
    def is_stream(self) -> bool:
        """Whether the response is a stream, or about to be one."""
        return self._opening is not None

    async def event(self, message_: Message) -> None:
        """Say something before the answer; dropped where the client takes no stream."""
        if self.may_stream and not self.is_done:
            await self.write(message_.encode())

    async def write(self, data: bytes) -> None:
        """Write one message to the stream, opening it first if need be."""
        stream = await self.commit()
        await stream.write(await self.block(data))

    async def block(self, data: bytes) -> bytes:
        """Return the event for one message; legacy streams give it an id."""
        return sse.message(data)

    async def commit(self) -> EventStream:
        """Turn the response into a stream, if it is not one yet; whoever comes second waits until it is open."""
        if self.stream is not None:
            return self.stream
        if self._opening is None:
            self._opening = self._loop.create_task(self._open(), name="answer-open")
        return await asyncio.shield(self._opening)

    async def _open(self) -> EventStream:
        options = self._options
        stream = EventStream(self._out, keepalive_s=options.keepalive_s, max_backlog=options.max_stream_backlog)
        await stream.open(self.incoming, self._headers)
        await self.primed(stream)
        self.stream = stream
        return stream

    async def primed(self, stream: EventStream) -> None:
        """Say what must come first on a new stream: nothing, for modern answers."""

    async def finish(self, message_: Message, *, status: int | None = None) -> None:
        """End the response with the call's response message."""
        data = message_.encode()
        if len(data) > self._options.max_result_bytes:
            limit = self._options.max_result_bytes
            text = f"the result has {len(data)} bytes, more than the {limit} allowed"
            message_ = message.failure(message_.id, refusal.RESULT_TOO_LARGE, text)
            data = message_.encode()
        self.note(message_)
        if self._opening is not None:
            stream = await self.commit()
            await stream.close(await self.block(data))
        else:
            self.is_done = True
            status = status if status is not None else self.status(message_)
            await reply(self._out, status, data, self._headers if status != 503 else [*self._headers, RETRY_AFTER])
        self.release()

    async def finish_silently(self) -> None:
        """End the response without a message: the call was cancelled by its own client."""
        if self.may_stream:
            await (await self.commit()).close()
        else:
            await reply(self._out, 202, headers=self._headers)
        self.release()

    def status(self, message_: Message) -> int:
        """Return the HTTP status of a JSON answer (MCP 2026-07-28, Streamable HTTP)."""
        return 200 if message_.error is None else refusal.HTTP_STATUS.get(message_.error["code"], 200)

    def note(self, message_: Message) -> None:
        """Write the outcome into the request's record."""
        record = self.incoming.record
        if record.outcome == "cancelled":
            return
        if message_.error is not None:
            record.error_code, record.error = message_.error["code"], message_.error["message"]
            record.outcome = "timeout" if record.error_code == refusal.CALL_TIMED_OUT else "error"
        elif message_.result is not None and message_.result.get("isError") is True:
            record.outcome = "tool_error"

    def release(self) -> None:
        """Stop watching and the timers. May be called twice."""
        self.is_done = True
        self._ticker.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._deadline is not None:
            self._deadline.cancel()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self.stream is not None:
            self.stream.stop()

    def on_tick(self) -> None:
        """Begin to watch the client, the deadline and the silence: the call takes longer than most."""
        self._watch = self._loop.create_task(self._wait_for_leave(), name="answer-watch")
        if self._on_deadline is not None:
            left = max(0.0, self._options.call_timeout_s - WATCH_AFTER_S)
            self._deadline = self._loop.call_later(left, self._on_deadline)
        self._timer = self._loop.call_later(max(0.0, self._options.sse_after_s - WATCH_AFTER_S), self._fell_silent)

    async def _wait_for_leave(self) -> None:
        await self._out.gone()
        # A stream we ended ourselves, for its client to resume, is not a client that left.
        if not self.is_done and not (self.stream is not None and self.stream.is_closed):
            self._watch = None
            self.incoming.record.outcome = "cancelled"
            self._on_gone()

    def _fell_silent(self) -> None:
        if self.may_stream and not self.is_done and self._opening is None:
            self._opening = self._loop.create_task(self._open(), name="answer-open")
