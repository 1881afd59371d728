"""One legacy session: its calls, its streams, and the questions its server asks."""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, cast

from portside.errors import NoBackChannel, StateUnavailable
from portside.gateway.backs import ENDED, CallBack, ChannelBack
from portside.gateway.call import broken_reply
from portside.gateway.channel import STANDALONE, Channel, LegacyAnswer
from portside.gateway.http import Incoming, Outgoing
from portside.gateway.options import Options
from portside.gateway.ownership import Ownership
from portside.gateway.stream import EventStream
from portside.gateway.ticker import Ticker
from portside.gateway.unanswered import Unanswered
from portside.hosting.base import MOVING, Back, Call, Link
from portside.state.base import Streams
from portside.wire import headers, message, methods, refusal, revisions, sse, translate
from portside.wire.message import Id, Message
from portside.wire.refusal import Refusal
from portside.wire.session import SessionRecord, learnt

_log = logging.getLogger("portside.gateway")

MAX_ROUNDS: Final = 32
"""How often one call may come back with questions before it is given up."""


def hashed(session_id: str) -> str:
    """Return what logs and metrics may know of a session id."""
    return hashlib.sha256(session_id.encode()).hexdigest()[:12]


MayRerun = Callable[[Message, Call], Awaitable[bool]]
"""Says whether a request may be run a second time: it only reads, or doing it twice is doing it once."""


class Session:
    """The live part of one legacy session, in the process that owns it.

    `on_changed` is told of a record that has to be stored anew.
    """

    __slots__ = (
        "_asked",
        "_continued",
        "_events",
        "_is_shared",
        "_may_rerun",
        "_on_changed",
        "_options",
        "_streams",
        "_ticker",
        "calls",
        "channels",
        "hash",
        "is_ended",
        "last_used",
        "link",
        "open_streams",
        "ownership",
        "questions",
        "record",
        "standalone",
    )

    def __init__(
        self,
        record: SessionRecord,
        ownership: Ownership,
        events: Streams,
        options: Options,
        ticker: Ticker,
        *,
        is_shared: bool,
        may_rerun: MayRerun,
        on_changed: Callable[["Session"], Awaitable[None]],
        now: float,
    ) -> None:
        self.record = record
        self.ownership = ownership
        self.hash = hashed(record.id)
        self.link: Link | None = None
        self.calls: dict[Id, asyncio.Task[Message]] = {}
        self.channels: dict[str, Channel] = {}
        self.questions: dict[Id, asyncio.Future[Message]] = {}
        self.standalone = Channel(ownership, STANDALONE, events)
        self.open_streams = 0
        self.last_used = now
        self.is_ended = False
        self._events = events
        self._options = options
        self._ticker = ticker
        self._is_shared = is_shared
        self._may_rerun = may_rerun
        self._on_changed = on_changed
        self._streams = 0
        self._asked = 0
        self._continued: set[asyncio.Task[None]] = set()

    @property
    def is_busy(self) -> bool:
        """Whether something keeps the session from being idle."""
        return bool(self.calls) or bool(self._continued) or self.open_streams > 0

    @property
    def is_at_work(self) -> bool:
        """Whether a call runs here, or is being answered."""
        return bool(self.calls) or bool(self._continued) or bool(self.channels)

    # -- the connection's own channel, as a Back ------------------------------------------------

    async def notify(self, message: Message) -> None:
        """Send a notification on the standalone stream."""
        await self.standalone.emit(message.encode())

    async def request(self, message: Message) -> Message:
        """Ask the client on the standalone stream."""
        return await self.ask(message, self.standalone.emit)

    async def ask(self, question: Message, emit: Callable[[bytes], Any]) -> Message:
        """Send a question and wait for the client's response, which comes in a POST of its own.

        Raises NoBackChannel where the client declared no such capability, or where the session ends first.
        """
        capabilities = self.record.initialize.get("capabilities")
        lacking = (
            translate.lacks_capability(question.method, question.params, capabilities)
            if question.method in methods.QUESTION_CAPABILITY and self.record.initialize
            else None
        )
        if lacking is not None:
            raise NoBackChannel(f"the client declared no {lacking!r} capability")
        if self.is_ended:
            raise NoBackChannel("the session has ended")
        self._asked += 1
        # Never numeric: the SDK correlates ids that read as integers with its own counter.
        id_ = f"portside-{self.ownership.epoch}-{self._asked}"
        answer: asyncio.Future[Message] = self._ticker.loop.create_future()
        self.questions[id_] = answer
        try:
            await emit(message.request(id_, question.method, question.params).encode())
            return await answer
        finally:
            self.questions.pop(id_, None)

    # -- what the client sends ------------------------------------------------------------------

    def take_response(self, response: Message) -> None:
        """Hand a client's response to whoever asked; one that nobody waits for is dropped."""
        waiting = self.questions.get(response.id) if response.id is not None else None
        if waiting is not None and not waiting.done():
            waiting.set_result(response)

    async def take_notification(self, told: Message, call: Call) -> None:
        """Act on a client's notification and pass it on."""
        if told.method == "notifications/initialized" and not self.record.is_initialized:
            self.record = replace(self.record, is_initialized=True)
            await self._on_changed(self)
        if told.method == "notifications/cancelled":
            id_ = (told.params or {}).get("requestId")
            task = self.calls.get(id_) if isinstance(id_, str | int) else None
            if task is not None:
                task.cancel()
        if self.link is not None:
            await self.link.notify(told, call)

    async def serve(self, incoming: Incoming, out: Outgoing, asked: Message, call: Call) -> None:
        """Answer one request. It goes on if its client leaves; `notifications/cancelled` ends it."""
        if cast("Id", asked.id) in self.calls:
            raise Refusal(refusal.INVALID_REQUEST, "a request with this id is still running", status=400, id=asked.id)
        channel = self.open_channel()
        answer = LegacyAnswer(
            incoming,
            out,
            self._options,
            ticker=self._ticker,
            channel=channel,
            is_primed=revisions.is_primed(self.record.revision),
            note=self._noting(asked, call),
            # A proxy that has learnt where the session was learns where it is.
            headers=[(headers.SESSION, self.record.id.encode())] if self.ownership.epoch > 1 else (),
        )
        call.close_stream = answer.close_stream
        call.close_standalone = self._close_standalone
        try:
            reply = await self.run(asked, CallBack(self, answer), call)
            if reply is None:
                incoming.record.outcome = "cancelled"
                await answer.finish_silently()
            else:
                await answer.finish(reply)
        finally:
            answer.release()
            await self.close_channel(channel)

    def open_channel(self) -> Channel:
        """Return the channel of one more POST."""
        self._streams += 1
        # The epoch in it: a former owner has numbered its own.
        return self._add_channel(f"{self.ownership.epoch}-{self._streams}")

    def _add_channel(self, id_: str) -> Channel:
        channel = self.channels[id_] = Channel(self.ownership, id_, self._events)
        return channel

    def _noting(self, asked: Message, call: Call) -> Callable[[], Awaitable[bytes]] | None:
        return (lambda: self.note((asked,), call)) if self._is_shared else None

    async def note(self, asked: Sequence[Message], call: Call) -> bytes:
        """Return what another replica needs to know to go on with these requests."""
        return Unanswered(tuple([(one, await self._may_rerun(one, call)) for one in asked])).encode()

    async def close_channel(self, channel: Channel) -> None:
        """Forget the channel of a POST that was answered; the last one of an ended session takes the events along."""
        self.channels.pop(channel.id, None)
        if self.is_ended and not self.channels:
            await self._forget_events()

    async def _close_standalone(self) -> None:
        self.hint_and_end_streams()

    async def run(self, asked: Message, back: Back, call: Call) -> Message | None:
        """Return the response to one request, None where its client cancelled it."""
        loop = self._ticker.loop
        id_ = cast("Id", asked.id)
        task = self.calls[id_] = loop.create_task(self._request(asked, back, call), name="call")
        timed_out = False

        def time_out() -> None:
            nonlocal timed_out
            timed_out = True
            task.cancel()

        deadline = loop.call_later(self._options.call_timeout_s, time_out)
        try:
            return await task
        except asyncio.CancelledError:
            runner = asyncio.current_task()
            if runner is not None and runner.cancelling():
                raise  # the whole process ends, and the call with it
            if not timed_out:
                return self._ended_reply(id_) if self.is_ended else None
            seconds = self._options.call_timeout_s
            text = f"the call took longer than {seconds:g} s and was cancelled"
            return message.failure(id_, refusal.CALL_TIMED_OUT, text)
        finally:
            deadline.cancel()
            self.calls.pop(id_, None)

    def _ended_reply(self, id_: Id) -> Message:
        if self.ownership.is_lost:
            text = "the session went on elsewhere while the call ran here: its outcome is unknown"
            return message.failure(id_, refusal.OUTCOME_UNKNOWN, text)
        return message.failure(id_, refusal.INTERNAL_ERROR, "the session ended before the call did")

    async def _request(self, asked: Message, back: Back, call: Call) -> Message:
        """Call the server; while it answers with questions, ask the client and call again."""
        link = cast("Link", self.link)
        try:
            reply = await link.request(asked, back, call)
            for _ in range(MAX_ROUNDS):
                if asked.method not in methods.MAY_ASK or not translate.is_input_required(reply.result):
                    await self._learn(asked, reply)
                    return reply
                reply = await self._ask_and_retry(asked, cast("dict[str, Any]", reply.result), back, call)
        except Exception as error:
            return broken_reply(asked, error)
        return message.failure(
            asked.id, refusal.INTERNAL_ERROR, f"the server still asked for input after {MAX_ROUNDS} rounds"
        )

    async def _learn(self, asked: Message, reply: Message) -> None:
        """Remember what a handshake that is repeated elsewhere must restore."""
        record = learnt(self.record, asked) if reply.error is None else self.record
        if record is not self.record:
            self.record = record
            await self._on_changed(self)

    async def _ask_and_retry(self, asked: Message, result: dict[str, Any], back: Back, call: Call) -> Message:
        try:
            questions = translate.questions(result)
            replies = await asyncio.gather(
                *(back.request(message.request(0, method, params)) for method, params in questions.values())
            )
        except (NoBackChannel, ValueError) as error:
            return message.failure(asked.id, refusal.INVALID_REQUEST, f"the server asked for input, but {error}")
        for key, reply in zip(questions, replies, strict=True):
            if reply.error is not None:
                text = f"the client refused {key!r}: {reply.error['message']}"
                return message.failure(asked.id, refusal.INTERNAL_ERROR, text)
        answers = {key: reply.result for key, reply in zip(questions, replies, strict=True)}
        again = message.request(cast("Id", asked.id), asked.method, translate.retried(asked.params, result, answers))
        return await cast("Link", self.link).request(again, back, call)

    # -- streams --------------------------------------------------------------------------------

    async def listen(self, incoming: Incoming, out: Outgoing, event_id: str | None) -> None:
        """Keep a GET stream open until its client leaves or the stream ends.

        Raises Refusal where `event_id` is none that this session could resume from, StateUnavailable where nobody can
        say.
        """
        tail = await self._events.after(self.record.id, event_id) if event_id is not None else None
        if event_id is not None and tail is None:
            raise Refusal(
                refusal.INVALID_REQUEST, "Last-Event-ID is no event of this session that is still kept", status=400
            )
        options = self._options
        stream = EventStream(out, keepalive_s=options.keepalive_s, max_backlog=options.max_stream_backlog)
        session = (b"mcp-session-id", self.record.id.encode())
        self.open_streams += 1
        try:
            await stream.open(incoming, [session])
            channel = self.standalone
            if tail is None or event_id is None:
                if revisions.is_primed(self.record.revision):
                    await stream.write(await channel.prime(options.retry_ms))
                channel.listen(stream)
            else:
                # Whoever broke the stream off may have told the client to come back sooner than is right from here on.
                await stream.write(sse.retry(options.retry_ms))
                channel = self._channel(tail.stream)
                try:
                    await channel.resume(stream, event_id)
                except StateUnavailable as error:
                    # The head is out: its client comes back for the rest.
                    _log.info("a stream of session %s breaks off: %s", self.hash, error.message)
                    await stream.close()
                    return
                if channel.is_finished:
                    await stream.close()
                    return
            if self.is_ended:
                # Whoever ended the session has not seen this listener, and nobody else would ever let it go.
                channel.end()
            await stream.until_over(out)
            channel.leave(stream)
        finally:
            stream.stop()
            self.open_streams -= 1

    def _channel(self, stream: str) -> Channel:
        """Return the channel of a stream; one whose call was answered before is only there to be replayed."""
        if stream == STANDALONE:
            return self.standalone
        known = self.channels.get(stream)
        if known is None:
            known = Channel(self.ownership, stream, self._events)
            known.is_finished = True
        return known

    def hint_and_end_streams(self) -> None:
        """Close the standalone stream, telling its client when to come back."""
        self.standalone.end(sse.retry(self._options.retry_ms))

    # -- from one replica to another ------------------------------------------------------------

    def continue_calls(self, unanswered: Mapping[str, bytes], call: Call) -> None:
        """Answer, on their own streams, the calls that the former owner left: run them again, or say what is known."""
        for stream, note in unanswered.items():
            left = Unanswered.decode(note)
            if left is None:
                continue
            channel = self._add_channel(stream)
            task = self._ticker.loop.create_task(self._continue(left, channel, call), name="call-continued")
            # A client cannot cancel it by its id while another call may have that; it ends with the session.
            self._continued.add(task)
            task.add_done_callback(self._continued.discard)

    async def _continue(self, left: Unanswered, channel: Channel, call: Call) -> None:
        back = ChannelBack(self, channel)
        try:
            for index, (asked, may_rerun) in enumerate(left.calls):
                if may_rerun:
                    reply = await self._in_time(asked, back, call)
                else:
                    text = "the replica that ran the call was lost: its outcome is unknown"
                    reply = message.failure(cast("Id", asked.id), refusal.OUTCOME_UNKNOWN, text)
                await channel.emit(reply.encode(), is_last=index == len(left.calls) - 1)
            channel.finish()
        finally:
            if not channel.is_finished:
                channel.end()  # it goes on elsewhere, or nowhere: nobody may wait for it here
            await self.close_channel(channel)

    async def _in_time(self, asked: Message, back: Back, call: Call) -> Message:
        try:
            async with asyncio.timeout(self._options.call_timeout_s):
                return await self._request(asked, back, call)
        except TimeoutError:
            text = f"the call took longer than {self._options.call_timeout_s:g} s and was cancelled"
            return message.failure(cast("Id", asked.id), refusal.CALL_TIMED_OUT, text)

    # -- the end --------------------------------------------------------------------------------

    async def end(self) -> None:
        """Cancel what runs, close what is open; forget the events, unless the session goes on elsewhere.

        May be called twice.
        """
        self.is_ended = True
        for waiting in list(self.questions.values()):
            if not waiting.done():
                waiting.set_exception(NoBackChannel("the session has ended"))
        for task in [*self.calls.values(), *self._continued]:
            task.cancel()
        self.standalone.end()
        for channel in list(self.channels.values()):
            if not self.calls:
                channel.end()
        if self.link is not None:
            moving = MOVING.set(self.ownership.is_lost)
            try:
                await self.link.close()
            finally:
                MOVING.reset(moving)
                # A link holds its session as its channel back: let go, both are freed now, not with the next garbage.
                self.link = ENDED
        await self._forget_events()

    async def _forget_events(self) -> None:
        # One that was never stored has none.
        if self.ownership.is_lost or self.ownership.epoch == 0:
            return
        try:
            await self._events.drop(self.record.id)
        except StateUnavailable as error:
            _log.info("the events of session %s are left to expire: %s", self.hash, error.message)
