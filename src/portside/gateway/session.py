"""One legacy session: its calls, its streams, and the questions its server asks."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any, cast

from portside.errors import NoBackChannel
from portside.gateway.annotations import MayRerun
from portside.gateway.backs import ENDED, CallBack
from portside.gateway.call import broken_reply, cancelled_reply
from portside.gateway.channel import LegacyAnswer
from portside.gateway.channels import Channels
from portside.gateway.client import Client, Emit
from portside.gateway.http import Incoming, Outgoing
from portside.gateway.options import Options
from portside.gateway.ownership import Ownership, hashed
from portside.gateway.rounds import settle
from portside.gateway.ticker import Ticker
from portside.gateway.unanswered import note
from portside.hosting.base import MOVING, Back, Call, Link
from portside.state.base import Streams
from portside.wire import headers, message, refusal, revisions
from portside.wire.message import Id, Message
from portside.wire.refusal import Refusal
from portside.wire.session import SessionRecord, learnt


class Session:
    """The live part of one legacy session, in the process that owns it.

    `on_changed` is told of a record that has to be stored anew.
    """

    __slots__ = (
        "_continued",
        "_is_shared",
        "_may_rerun",
        "_on_changed",
        "_options",
        "_ticker",
        "calls",
        "channels",
        "client",
        "hash",
        "last_used",
        "link",
        "ownership",
        "record",
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
        self.channels = Channels(ownership, events, options)
        self.client = Client(record, ownership, ticker.loop)
        self.last_used = now
        self._options = options
        self._ticker = ticker
        self._is_shared = is_shared
        self._may_rerun = may_rerun
        self._on_changed = on_changed
        self._continued: set[asyncio.Task[None]] = set()

    @property
    def is_ended(self) -> bool:
        """Whether the session is over here, whether it goes on elsewhere or not."""
        return self.channels.is_ended

    @property
    def is_busy(self) -> bool:
        """Whether something keeps the session from being idle."""
        return bool(self.calls) or bool(self._continued) or self.channels.open_streams > 0

    @property
    def is_at_work(self) -> bool:
        """Whether a call runs here, or is being answered."""
        return bool(self.calls) or bool(self._continued) or bool(self.channels.by_id)

    # -- the connection's own channel, as a Back ------------------------------------------------

    async def notify(self, message: Message) -> None:
        """Send a notification on the standalone stream."""
        await self.channels.standalone.emit(message.encode())

    async def request(self, message: Message) -> Message:
        """Ask the client on the standalone stream."""
        return await self.ask(message, self.channels.standalone.emit)

    async def ask(self, question: Message, emit: Emit) -> Message:
        """Send a question and wait for the client's response.

        Raises NoBackChannel where the client declared no such capability, or where the session ends first.
        """
        self.client.check(question)
        if self.is_ended:
            raise NoBackChannel("the session has ended")
        return await self.client.ask(question, emit)

    # -- what the client sends ------------------------------------------------------------------

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
        channel = self.channels.open()
        answer = LegacyAnswer(
            incoming,
            out,
            self._options,
            ticker=self._ticker,
            channel=channel,
            is_primed=revisions.is_primed(self.record.revision),
            note=(lambda: note((asked,), call, self._may_rerun)) if self._is_shared else None,
            # A proxy that has learnt where the session was learns where it is.
            headers=[(headers.SESSION, self.record.id.encode())] if self.ownership.epoch > 1 else (),
        )
        call.close_stream = answer.close_stream
        call.close_standalone = self.channels.close_standalone
        try:
            reply = await self.run(asked, CallBack(self, answer), call)
            if reply is None:
                incoming.record.outcome = "cancelled"
                await answer.finish_silently()
            else:
                await answer.finish(reply)
        finally:
            answer.release()
            await self.channels.close(channel)

    async def listen(self, incoming: Incoming, out: Outgoing, event_id: str | None) -> None:
        """Keep a GET stream open, from the event after `event_id` on. Raises what `Channels.listen` does."""
        is_primed = revisions.is_primed(self.record.revision)
        await self.channels.listen(incoming, out, event_id, is_primed=is_primed)

    # -- calls ----------------------------------------------------------------------------------

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
            if timed_out:
                return cancelled_reply(asked, self._options, is_late=True)
            return self._ended_reply(id_) if self.is_ended else None
        finally:
            deadline.cancel()
            self.calls.pop(id_, None)

    async def rerun(self, asked: Message, back: Back, call: Call) -> Message:
        """Return the response to a request that a former owner of the session has run already."""
        try:
            async with asyncio.timeout(self._options.call_timeout_s):
                return await self._request(asked, back, call)
        except TimeoutError:
            return cancelled_reply(asked, self._options, is_late=True)

    def keep(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Do some work for the session beside its calls, at most until it ends."""
        task = self._ticker.loop.create_task(work, name=name)
        self._continued.add(task)
        task.add_done_callback(self._continued.discard)

    def _ended_reply(self, id_: Id) -> Message:
        if self.ownership.is_lost:
            text = "the session went on elsewhere while the call ran here: its outcome is unknown"
            return message.failure(id_, refusal.OUTCOME_UNKNOWN, text)
        return message.failure(id_, refusal.INTERNAL_ERROR, "the session ended before the call did")

    async def _request(self, asked: Message, back: Back, call: Call) -> Message:
        try:
            reply = await settle(cast("Link", self.link), asked, back, call)
            # What a handshake that is repeated elsewhere must restore.
            record = learnt(self.record, asked) if reply.error is None else self.record
            if record is not self.record:
                self.record = record
                await self._on_changed(self)
        except Exception as error:
            return broken_reply(asked, error)
        return reply

    # -- the end --------------------------------------------------------------------------------

    async def end(self) -> None:
        """Cancel what runs, close what is open; forget the events, unless the session goes on elsewhere.

        May be called twice.
        """
        self.client.end()
        for task in [*self.calls.values(), *self._continued]:
            task.cancel()
        # Calls that run are still answered, on their streams.
        self.channels.end(with_posts=not self.calls)
        if self.link is not None:
            moving = MOVING.set(self.ownership.is_lost)
            try:
                await self.link.close()
            finally:
                MOVING.reset(moving)
                # A link holds its session as its channel back: let go, both are freed now, not with the next garbage.
                self.link = ENDED
        await self.channels.forget()
