"""One legacy session: its calls, its streams, and the questions its server asks."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, cast

from portside.errors import NoBackChannel
from portside.gateway.answer import Answer
from portside.gateway.call import broken_reply
from portside.gateway.channel import STANDALONE, Channel, LegacyAnswer
from portside.gateway.http import Incoming, Outgoing
from portside.gateway.options import Options
from portside.gateway.stream import EventStream
from portside.gateway.ticker import Ticker
from portside.hosting.base import Back, Call, Link
from portside.state.base import Streams
from portside.wire import message, methods, refusal, revisions, sse, translate
from portside.wire.message import Id, Message
from portside.wire.refusal import Refusal
from portside.wire.session import SessionRecord

MAX_ROUNDS: Final = 32
"""How often one call may come back with questions before it is given up."""


def hashed(session_id: str) -> str:
    """Return what logs and metrics may know of a session id."""
    return hashlib.sha256(session_id.encode()).hexdigest()[:12]


class Session:
    """The live part of one legacy session, in the process that owns it."""

    __slots__ = (
        "_asked",
        "_events",
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
        "questions",
        "record",
        "standalone",
    )

    def __init__(self, record: SessionRecord, events: Streams, options: Options, ticker: Ticker, *, now: float) -> None:
        self.record = record
        self.hash = hashed(record.id)
        self.link: Link | None = None
        self.calls: dict[Id, asyncio.Task[Message]] = {}
        self.channels: dict[str, Channel] = {}
        self.questions: dict[Id, asyncio.Future[Message]] = {}
        self.standalone = Channel(record.id, STANDALONE, events)
        self.open_streams = 0
        self.last_used = now
        self.is_ended = False
        self._events = events
        self._options = options
        self._ticker = ticker
        self._streams = 0
        self._asked = 0

    @property
    def is_busy(self) -> bool:
        """Whether something keeps the session from being idle."""
        return bool(self.calls) or self.open_streams > 0

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
        id_ = f"portside-{self._asked}"
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
        if told.method == "notifications/initialized":
            self.record = replace(self.record, is_initialized=True)
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
        channel = self.channels[str(self._streams)] = Channel(self.record.id, str(self._streams), self._events)
        return channel

    async def close_channel(self, channel: Channel) -> None:
        """Forget the channel of a POST that was answered; the last one of an ended session takes the events along."""
        self.channels.pop(channel.id, None)
        if self.is_ended and not self.channels:
            await self._events.drop(self.record.id)

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
        return message.failure(id_, refusal.INTERNAL_ERROR, "the session ended before the call did")

    async def _request(self, asked: Message, back: Back, call: Call) -> Message:
        """Call the server; while it answers with questions, ask the client and call again."""
        link = cast("Link", self.link)
        try:
            reply = await link.request(asked, back, call)
            for _ in range(MAX_ROUNDS):
                if asked.method not in methods.MAY_ASK or not translate.is_input_required(reply.result):
                    return reply
                reply = await self._ask_and_retry(asked, cast("dict[str, Any]", reply.result), back, call)
        except Exception as error:
            return broken_reply(asked, error)
        return message.failure(
            asked.id, refusal.INTERNAL_ERROR, f"the server still asked for input after {MAX_ROUNDS} rounds"
        )

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

        Raises Refusal where `event_id` is none that this session could resume from.
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
                channel.listen(stream)
            else:
                channel = self._channel(tail.stream)
                await channel.resume(stream, event_id)
                if channel.is_finished:
                    await stream.close()
                    return
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
            known = Channel(self.record.id, stream, self._events)
            known.is_finished = True
        return known

    def hint_and_end_streams(self) -> None:
        """Close the standalone stream, telling its client when to come back."""
        self.standalone.end(sse.retry(self._options.retry_ms))

    async def end(self) -> None:
        """Cancel what runs, close what is open, forget the events. May be called twice."""
        self.is_ended = True
        for waiting in list(self.questions.values()):
            if not waiting.done():
                waiting.set_exception(NoBackChannel("the session has ended"))
        for task in list(self.calls.values()):
            task.cancel()
        self.standalone.end()
        for channel in list(self.channels.values()):
            if not self.calls:
                channel.end()
        if self.link is not None:
            await self.link.close()
        await self._events.drop(self.record.id)


class CallBack:
    """The channel back to the client of one call: its own stream."""

    def __init__(self, session: Session, answer: Answer) -> None:
        self._session = session
        self._answer = answer

    async def notify(self, message: Message) -> None:
        """Send a notification on the call's stream."""
        await self._answer.event(message)

    async def request(self, message: Message) -> Message:
        """Ask the client on the call's stream."""
        if not self._answer.may_stream:
            raise NoBackChannel("the client accepts no stream on this request")
        return await self._session.ask(message, self._answer.write)
