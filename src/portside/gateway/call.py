"""Calls under way in the modern era that may wait for their user.

An old-style question in the middle of a modern call suspends that call: its task waits here, the client is told
`input_required` with a sealed requestState, and the retry that brings the answers is attached to the waiting task.
"""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import msgspec

from portside.errors import HostBusy, HostGone, NoBackChannel
from portside.gateway.answer import Answer
from portside.gateway.http import Incoming, Outgoing
from portside.gateway.options import Options
from portside.gateway.questions import Known, Questions
from portside.gateway.seal import Seal
from portside.gateway.ticker import Ticker
from portside.hosting.base import Call, Link
from portside.wire import classify, message, methods, refusal, translate
from portside.wire.message import Message
from portside.wire.refusal import Refusal

_log = logging.getLogger("portside.gateway")


class Running(Protocol):
    """One call under way."""

    asked: Message

    @property
    def is_waiting(self) -> bool:
        """Whether the call waits for its user, and nobody for its answer."""
        ...

    def cancel(self) -> None:
        """Cancel the call; its client has left or the process ends."""
        ...


@dataclass(slots=True)
class Calls:
    """What all modern calls of this process share, and which of them there are."""

    link: Link
    options: Options
    seal: Seal
    ticker: Ticker
    holder: str = ""
    running: set[Running] = field(default_factory=lambda: set[Running]())
    suspended: "dict[str, RunningCall]" = field(default_factory=lambda: dict[str, RunningCall]())


def cancelled_reply(asked: Message, options: Options, is_late: bool) -> Message:
    """Return the answer to a call that was cancelled, because it took too long or for another reason."""
    if not is_late:
        return message.failure(asked.id, refusal.INTERNAL_ERROR, "the call was cancelled")
    text = f"the call took longer than {options.call_timeout_s:g} s and was cancelled"
    return message.failure(asked.id, refusal.CALL_TIMED_OUT, text)


def broken_reply(asked: Message, error: Exception) -> Message:
    """Return the answer to a call whose server is gone, or whose hosting broke: somebody waits, whatever happened."""
    if isinstance(error, HostGone):
        code = refusal.SERVER_BUSY if isinstance(error, HostBusy) else refusal.SERVER_GONE
        return message.failure(asked.id, code, error.message)
    _log.error("the hosting of the server broke a call of %s", asked.method, exc_info=error)
    return message.failure(asked.id, refusal.INTERNAL_ERROR, "Internal error")


class RunningCall:
    """One call on its way, with the channel back to whoever made it. A `Back` for the hosted server.

    `rounds` holds the reply to each HTTP request of the call: the first, and one for every retry with answers. A retry
    that comes again gets the reply its round had. `known` holds answers that the client gave to another replica.
    """

    def __init__(self, calls: Calls, asked: Message, call: Call, known: Known | None = None) -> None:
        self.asked = asked
        self._calls = calls
        self._call = call
        self._loop = calls.ticker.loop
        self._rounds: list[asyncio.Future[Message]] = [self._loop.create_future()]
        self._answer: Answer | None = None
        self._progress_token: object = None
        self._task: asyncio.Task[None] | None = None
        self._id = ""
        self._questions = Questions(known)
        self._is_collecting = False
        self._wants_log = True
        self._expiry: asyncio.TimerHandle | None = None
        self._timed_out = False

    @property
    def is_waiting(self) -> bool:
        return bool(self._questions) and self._answer is None

    @property
    def is_finished(self) -> bool:
        """Whether the call has its result; it is kept for a client that repeats its last retry."""
        return self._task is not None and self._task.done()

    async def serve(self, incoming: Incoming, out: Outgoing, asked: Message) -> None:
        """Start the call and answer its first request."""
        self._calls.running.add(self)
        self._answer = self._new_answer(incoming, out, on_gone=self.cancel)
        self._task = self._loop.create_task(self._run(), name="call")
        await self._deliver(self._answer, self._rounds[0], asked)

    async def resume(self, incoming: Incoming, out: Outgoing, asked: Message, round_: int) -> None:
        """Answer a retry of round `round_`: hand its answers to the waiting call, unless that was done before."""
        if round_ + 1 >= len(self._rounds):
            answers = (asked.params or {}).get("inputResponses", {})
            if not isinstance(answers, dict):
                raise Refusal(refusal.INVALID_PARAMS, "inputResponses must be an object", id=asked.id)
            self._hold_expiry()
            self._rounds.append(self._loop.create_future())
            self._take(cast("dict[str, Any]", answers))
        answer = self._new_answer(incoming, out, on_gone=lambda: None)
        if round_ + 2 == len(self._rounds):
            self._answer = answer
            meta = translate.members((asked.params or {}).get("_meta"))
            self._progress_token = meta.get("progressToken")
            self._wants_log = classify.META_LOG_LEVEL in meta
        await self._deliver(answer, self._rounds[round_ + 1], asked)

    async def notify(self, message: Message) -> None:
        """Pass a notification to whichever request is being answered; without one it is dropped."""
        answer = self._answer
        if answer is None:
            return
        if self._id and message.method == "notifications/progress" and message.params is not None:
            if self._progress_token is None:
                return
            message.params["progressToken"] = self._progress_token
        if not self._wants_log and message.method == "notifications/message":
            return
        await answer.event(message)

    async def request(self, message: Message) -> Message:
        """Suspend the call until its client answers. Raises NoBackChannel where the client cannot be asked that."""
        if self.asked.method not in methods.MAY_ASK:
            raise NoBackChannel(f"nobody can be asked {message.method!r} during {self.asked.method!r}")
        lacking = translate.lacks_capability(message.method, message.params, self._call.capabilities)
        if lacking is not None:
            text = f"the client cannot be asked {message.method!r}: it declared no {lacking!r} capability"
            raise NoBackChannel(text)
        given = self._questions.known(message)
        if given is not None:
            return given
        self._suspend_soon()
        return await self._questions.ask(message)

    def settle(self, reply: Message) -> None:
        """Give the current request its reply."""
        if not self._rounds[-1].done():
            self._rounds[-1].set_result(reply)

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        asked = self.asked
        try:
            reply = await self._calls.link.request(asked, self, self._call)
        except asyncio.CancelledError:
            reply = cancelled_reply(asked, self._calls.options, self._timed_out)
        except Exception as error:
            reply = broken_reply(asked, error)
        finally:
            self._calls.running.discard(self)
        self.settle(reply)
        self._answer = None
        if self._id in self._calls.suspended:
            self._expire_later()

    def _new_answer(self, incoming: Incoming, out: Outgoing, *, on_gone: Callable[[], None]) -> Answer:
        on_deadline = None if self.asked.method == methods.LISTEN else self._time_out
        calls = self._calls
        return Answer(incoming, out, calls.options, ticker=calls.ticker, on_gone=on_gone, on_deadline=on_deadline)

    def _time_out(self) -> None:
        """Cancel a call that takes too long. Its user's own thinking time does not count, only its answers do."""
        self._timed_out = True
        self.cancel()

    def _suspend_soon(self) -> None:
        """Ask the client once everything that asks side by side has asked."""
        if not self._is_collecting:
            self._is_collecting = True
            self._loop.call_soon(self._suspend)

    def _suspend(self) -> None:
        """Tell the client what is asked, and wait for its retry."""
        self._is_collecting = False
        if not self._questions:
            return
        if not self._id and not self._remember():
            self._questions.refuse("too many calls are waiting for their user")
            return
        self._expire_later()
        self.settle(self._question())
        self._answer = None

    def _question(self) -> Message:
        claims = {
            "c": self._id,
            "r": self._calls.holder,
            "n": len(self._rounds) - 1,
            "p": self._call.principal,
            "d": digest(self.asked),
            **self._questions.claims(),
        }
        asked = self._questions.asked()
        return message.response(self.asked.id, translate.input_required(asked, self._calls.seal.close(claims)))

    def _remember(self) -> bool:
        """Take a place among the calls that wait for their users; False where this principal has too many.

        Calls that have ended are kept for repeated retries only, so they make room.
        """
        suspended, limit = self._calls.suspended, self._calls.options.max_suspended_calls
        mine = [one for one in suspended.values() if one._call.principal == self._call.principal]
        ended = [one for one in mine if one.is_finished]
        if len(mine) - len(ended) >= limit:
            return False
        for one in ended[: len(mine) - limit + 1 if len(mine) >= limit else 0]:
            one.forget()
        self._id = secrets.token_hex(16)
        suspended[self._id] = self
        return True

    def forget(self) -> None:
        """Give up the place among the suspended calls; a retry finds nothing from now on."""
        self._calls.suspended.pop(self._id, None)
        self._hold_expiry()

    def _take(self, answers: dict[str, Any]) -> None:
        self._questions.take(answers)
        if self._questions:
            self._suspend_soon()

    def _expire_later(self) -> None:
        """Count the time from now on in which the client must come back."""
        self._hold_expiry()
        self._expiry = self._loop.call_later(self._calls.options.suspended_call_s, self._expire)

    def _hold_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _expire(self) -> None:
        self.forget()
        self.cancel()

    async def _deliver(self, answer: Answer, round_: asyncio.Future[Message], asked: Message) -> None:
        """Wait for the reply of a round and write it under the id of the request that waits."""
        try:
            reply = await round_ if not self._id else await asyncio.shield(round_)
        except asyncio.CancelledError:
            answer.release()
            self.cancel()
            raise
        if reply.id != asked.id:
            reply = Message("response", id=asked.id, result=reply.result, error=reply.error)
        await answer.finish(reply)


def digest(asked: Message) -> str:
    """Return what a retry must share with the call it continues: method, target and arguments."""
    params = asked.params or {}
    target = params.get(methods.NAME_PARAMETER.get(asked.method, ""))
    body = msgspec.json.encode([asked.method, target, params.get("arguments")], order="sorted")
    return hashlib.sha256(body).hexdigest()
