"""Calls under way in the modern era: plain ones, and those that may wait for their user.

An old-style question in the middle of a modern call suspends that call: its task waits here, the client is told
`input_required` with a sealed requestState, and the retry that brings the answers is attached to the waiting task.
"""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

import msgspec

from portside.errors import HostGone, NoBackChannel
from portside.gateway.answer import Answer
from portside.gateway.http import Incoming, Outgoing
from portside.gateway.options import Options
from portside.gateway.seal import Seal
from portside.gateway.ticker import Ticker
from portside.hosting.base import Call, Link
from portside.wire import message, methods, refusal, translate
from portside.wire.message import Message
from portside.wire.refusal import Refusal

_log = logging.getLogger("portside.gateway")


@dataclass(slots=True)
class Calls:
    """What all modern calls of this process share, and which of them there are."""

    link: Link
    options: Options
    seal: Seal
    ticker: Ticker
    running: "set[RunningCall | PlainCall]" = field(default_factory=lambda: set[RunningCall | PlainCall]())
    suspended: "dict[str, RunningCall]" = field(default_factory=lambda: dict[str, RunningCall]())


class PlainCall:
    """A call that needs no channel back, run in the task of whoever asks: the short way for most calls."""

    is_waiting = False

    def __init__(self, calls: Calls, asked: Message) -> None:
        self.asked = asked
        self._calls = calls
        self._task = asyncio.current_task(calls.ticker.loop)
        self._reason: Literal["gone", "deadline", "end"] | None = None

    async def serve(self, incoming: Incoming, out: Outgoing, call: Call) -> None:
        """Run the call and answer it."""
        calls = self._calls
        answer = Answer(
            incoming, out, calls.options, ticker=calls.ticker, on_gone=self._leave, on_deadline=self._time_out
        )
        calls.running.add(self)
        try:
            reply = await calls.link.request(self.asked, NOBODY, call)
        except asyncio.CancelledError:
            # Ours, meant for the call alone, and not for the task: whoever runs that has not asked it to stop.
            if self._reason is None or self._task is None or self._task.uncancel() > 0:
                answer.release()
                raise
            reply = cancelled_reply(self.asked, calls.options, self._reason == "deadline")
        except Exception as error:
            reply = broken_reply(self.asked, error)
        finally:
            calls.running.discard(self)
        await answer.finish(reply)

    def cancel(self) -> None:
        """Cancel the call; the process ends."""
        self._cancel("end")

    def _leave(self) -> None:
        self._cancel("gone")

    def _time_out(self) -> None:
        self._cancel("deadline")

    def _cancel(self, reason: Literal["gone", "deadline", "end"]) -> None:
        if self._reason is None and self._task is not None:
            self._reason = reason
            self._task.cancel()


class Nobody:
    """The channel back of a call that has none."""

    async def notify(self, message: Message) -> None:
        """Drop it."""

    async def request(self, message: Message) -> Message:
        """Refuse: there is nobody to ask."""
        raise NoBackChannel(f"nobody can be asked {message.method!r} here")


NOBODY: Final = Nobody()


def cancelled_reply(asked: Message, options: Options, is_late: bool) -> Message:
    """Return the answer to a call that was cancelled, because it took too long or for another reason."""
    if not is_late:
        return message.failure(asked.id, refusal.INTERNAL_ERROR, "the call was cancelled")
    text = f"the call took longer than {options.call_timeout_s:g} s and was cancelled"
    return message.failure(asked.id, refusal.CALL_TIMED_OUT, text)


def broken_reply(asked: Message, error: Exception) -> Message:
    """Return the answer to a call whose server is gone, or whose hosting broke: somebody waits, whatever happened."""
    if isinstance(error, HostGone):
        return message.failure(asked.id, refusal.INTERNAL_ERROR, error.message)
    _log.error("the hosting of the server broke a call of %s", asked.method, exc_info=error)
    return message.failure(asked.id, refusal.INTERNAL_ERROR, "Internal error")


class RunningCall:
    """One call on its way, with the channel back to whoever made it. A `Back` for the hosted server.

    `rounds` holds the reply to each HTTP request of the call: the first, and one for every retry with answers. A retry
    that comes again gets the reply its round had.
    """

    def __init__(self, calls: Calls, asked: Message, call: Call) -> None:
        self.asked = asked
        self._calls = calls
        self._call = call
        self._loop = calls.ticker.loop
        self._rounds: list[asyncio.Future[Message]] = [self._loop.create_future()]
        self._answer: Answer | None = None
        self._progress_token: object = None
        self._task: asyncio.Task[None] | None = None
        self._id = ""
        self._pending: dict[str, tuple[Message, asyncio.Future[Message]]] = {}
        self._asked_count = 0
        self._is_collecting = False
        self._expiry: asyncio.TimerHandle | None = None
        self._timed_out = False

    @property
    def is_waiting(self) -> bool:
        """Whether the call waits for its user, and nobody for its answer."""
        return bool(self._pending) and self._answer is None

    async def serve(self, incoming: Incoming, out: Outgoing, asked: Message) -> None:
        """Start the call and answer its first request."""
        self._calls.running.add(self)
        self._answer = self._new_answer(incoming, out, on_gone=self.cancel)
        self._task = self._loop.create_task(self._run(), name="call")
        await self._deliver(self._answer, self._rounds[0], asked)

    async def resume(self, incoming: Incoming, out: Outgoing, asked: Message, round_: int) -> None:
        """Answer a retry of round `round_`: hand its answers to the waiting call, unless that was done before."""
        if round_ + 1 >= len(self._rounds):
            answers = (asked.params or {}).get("inputResponses")
            if not isinstance(answers, dict):
                raise Refusal(refusal.INVALID_PARAMS, "inputResponses must be an object", id=asked.id)
            self._rounds.append(self._loop.create_future())
            self._take(cast("dict[str, Any]", answers))
        answer = self._new_answer(incoming, out, on_gone=lambda: None)
        if round_ + 2 == len(self._rounds):
            self._answer = answer
            meta = (asked.params or {}).get("_meta")
            self._progress_token = cast("dict[str, Any]", meta).get("progressToken") if isinstance(meta, dict) else None
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
        await answer.event(message)

    async def request(self, message: Message) -> Message:
        """Suspend the call until its client answers. Raises NoBackChannel where the client cannot be asked that."""
        lacking = translate.lacks_capability(message.method, message.params, self._call.capabilities)
        if lacking is not None or self.asked.method not in methods.MAY_ASK:
            raise NoBackChannel(f"the client cannot be asked {message.method!r}: it declared no {lacking!r} capability")
        self._asked_count += 1
        answer: asyncio.Future[Message] = self._loop.create_future()
        self._pending[f"q{self._asked_count}"] = (message, answer)
        if not self._is_collecting:
            # Questions asked side by side go out together.
            self._is_collecting = True
            self._loop.call_soon(self._suspend)
        return await answer

    def settle(self, reply: Message) -> None:
        """Give the current request its reply."""
        if not self._rounds[-1].done():
            self._rounds[-1].set_result(reply)

    def cancel(self) -> None:
        """Cancel the call; its client has left or the process ends."""
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
        if not self._id:
            self._answer = None

    def _new_answer(self, incoming: Incoming, out: Outgoing, *, on_gone: Callable[[], None]) -> Answer:
        on_deadline = None if self.asked.method == methods.LISTEN else self._time_out
        calls = self._calls
        return Answer(incoming, out, calls.options, ticker=calls.ticker, on_gone=on_gone, on_deadline=on_deadline)

    def _time_out(self) -> None:
        """Cancel a call that takes too long. Its user's own thinking time does not count, only its answers do."""
        self._timed_out = True
        self.cancel()

    def _suspend(self) -> None:
        """Tell the client what is asked, and wait for its retry."""
        self._is_collecting = False
        calls = self._calls
        if not self._id:
            if not self._remember():
                for _, answer in self._pending.values():
                    if not answer.done():
                        answer.set_exception(NoBackChannel("too many calls are waiting for their user"))
                self._pending.clear()
                return
            self._expiry = self._loop.call_later(calls.options.suspended_call_s, self._expire)
        self.settle(self._question())
        self._answer = None

    def _question(self) -> Message:
        claims = {"c": self._id, "n": len(self._rounds) - 1, "p": self._call.principal, "d": digest(self.asked)}
        asked = {key: (question.method, question.params) for key, (question, _) in self._pending.items()}
        return message.response(self.asked.id, translate.input_required(asked, self._calls.seal.close(claims)))

    def _remember(self) -> bool:
        suspended, limit = self._calls.suspended, self._calls.options.max_suspended_calls
        mine = sum(1 for one in suspended.values() if one._call.principal == self._call.principal)
        if mine >= limit:
            return False
        self._id = secrets.token_hex(16)
        suspended[self._id] = self
        return True

    def _take(self, answers: dict[str, Any]) -> None:
        """Hand answers to the questions they belong to; what stays unanswered is asked again."""
        for key in [key for key in answers if key in self._pending]:
            question, waiting = self._pending.pop(key)
            value = answers[key]
            result = cast("dict[str, Any]", value) if isinstance(value, dict) else None
            if waiting.done():
                continue
            if result is None:
                waiting.set_result(message.failure(question.id, refusal.INVALID_PARAMS, "the answer is not an object"))
            else:
                waiting.set_result(message.response(question.id, result))
        if self._pending:
            self._loop.call_soon(self._suspend)

    def _expire(self) -> None:
        self._calls.suspended.pop(self._id, None)
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
