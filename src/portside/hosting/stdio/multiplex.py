"""Many calls over one pipe of lines: the one place where ids, progress tokens and subscription ids are rewritten.

A *shared* connection serves exchanges of different people in the modern era: nothing that does not say whose it is is
passed to anybody. One that is not shared belongs to one legacy session.
"""

import asyncio
import itertools
import logging
from typing import Protocol

from portside.clock import Clock, SystemClock
from portside.errors import HostGone
from portside.hosting.base import Back, Call
from portside.hosting.stdio.child import shown
from portside.hosting.stdio.envelope import Malformed, answered, parse
from portside.hosting.stdio.lines import Oversized
from portside.hosting.stdio.questions import Questions
from portside.hosting.stdio.trickle import Trickle
from portside.hosting.stdio.waiting import Backlog, InFlight, Waiting, meta_in, meta_of, numbered
from portside.wire import classify, refusal
from portside.wire import message as messages
from portside.wire.message import Id, Message

_log = logging.getLogger("portside.child")


class Wire(Protocol):
    """Where lines are written; see `Child`."""

    async def write(self, line: bytes) -> None:
        """Send a line, whole or not at all. Raises HostGone."""
        ...

    def write_soon(self, line: bytes) -> bool:
        """Send a line without waiting; say whether it was taken."""
        ...


class Multiplex:
    """Calls to one server, and what it says. A `Receiver`; `back` is the connection's own channel."""

    def __init__(self, name: str, back: Back, *, is_shared: bool, clock: Clock | None = None) -> None:
        self.is_lost = False
        self.has_answered = False
        self.strays = 0
        self._name = name
        self._back = back
        self._is_shared = is_shared
        self._clock = clock or SystemClock()
        self._wire: Wire | None = None
        self._why = HostGone(f"{name} was not started")
        self._numbers = itertools.count(1)
        self._calls = InFlight(self._clock)
        self._questions = Questions(name, self._write, self._write_soon)
        self._said = Backlog()
        self._speaking: asyncio.Task[None] | None = None
        self._trickle = Trickle(self._clock, burst=10, per_s=1)

    @property
    def in_flight(self) -> int:
        """How many calls wait for their answer."""
        return len(self._calls)

    def attach(self, wire: Wire) -> None:
        """Say where to write; from now on calls are possible."""
        self._wire = wire

    async def request(self, message: Message, back: Back, call: Call) -> Message:
        """Return the server's answer. Raises HostGone. Cancelling it cancels the call at the server."""
        waiting = Waiting(next(self._numbers), message, back)
        line = numbered(message, waiting.number).encode()
        self._calls.add(waiting)
        is_sent = False
        try:
            try:
                await self._write(line)
                is_sent = True
            except HostGone:
                if self.is_lost or self._wire is None:
                    raise
                # It stopped reading; how it ended is about to be told.
            return await waiting.run()
        except HostGone:
            raise
        except BaseException:
            if is_sent:
                self._cancel(waiting)
            raise
        finally:
            self._calls.remove(waiting)
            self._questions.end(waiting.number)

    def notify(self, message: Message) -> bool:
        """Hand a notification to the server without waiting; say whether it was taken."""
        return self._write_soon(message.encode())

    # -- what comes -----------------------------------------------------------------------------

    def receive(self, line: bytes) -> None:
        """Take a line of the server's, whatever it is."""
        try:
            for message in parse(line):
                self._take(message, len(line))
        except Malformed as error:
            self._log_garbage(line, str(error))
            self._fail(error.id, refusal.INTERNAL_ERROR, "the hosted server's answer is no JSON-RPC response")

    def receive_oversized(self, line: Oversized) -> None:
        """Take what is left of a line that was too long; the call it answers fails, where its ends show which.

        Otherwise nobody can tell what it was: a call whose answer it was waits until its deadline.
        """
        self._log_garbage(line.head, f"longer than the cap: {line.size} bytes")
        text = f"the hosted server's answer of {line.size} bytes is longer than the cap for one message"
        self._fail(answered(line), refusal.RESULT_TOO_LARGE, text)

    def lost(self, reason: HostGone) -> None:
        """Take the end of the connection: every call that waits is told why."""
        self.is_lost, self._why = True, reason
        for waiting in self._calls.all():
            waiting.lose(reason)
        self._questions.end_all()

    def _take(self, message: Message, size_bytes: int) -> None:
        if message.kind == "response":
            self.has_answered = True
            self._take_answer(message)
        elif message.kind == "request":
            self._take_question(message)
        else:
            self._take_notification(message, size_bytes)

    def _take_answer(self, message: Message) -> None:
        waiting = self._calls.find(message.id)
        if waiting is None:
            # Of a call that was cancelled, mostly: its answer was on the way.
            self._stray(message)
            return
        result = message.result
        if waiting.is_listening and result is not None and classify.META_SUBSCRIPTION in (meta := meta_in(result)):
            result = {**result, "_meta": {**meta, classify.META_SUBSCRIPTION: waiting.asked.id}}
        waiting.answer(Message("response", id=waiting.asked.id, result=result, error=message.error))

    def _take_question(self, message: Message) -> None:
        if message.method == "ping":
            self._write_soon(messages.response(message.id, {}).encode())
        elif self._is_shared:
            # Modern servers must not ask this way (MCP 2026-07-28, stdio), and whom they mean they cannot say.
            self._questions.refuse(message, refusal.METHOD_NOT_FOUND, "requests to the client do not exist here")
        else:
            latest = self._calls.latest()
            back, number = (self._back, None) if latest is None else (latest.back, latest.number)
            self._questions.put(message, back, number)

    def _take_notification(self, message: Message, size_bytes: int) -> None:
        params, meta = message.params or {}, meta_of(message)
        if message.method == "notifications/cancelled":
            self._take_cancellation(params.get("requestId"))
        elif message.method == "notifications/progress":
            waiting = self._calls.find(params.get("progressToken"))
            if waiting is None or waiting.token is None:
                self._stray(message)
            else:
                told = messages.notification(message.method, {**params, "progressToken": waiting.token})
                self._tell(waiting, told, size_bytes)
        elif classify.META_SUBSCRIPTION in meta:
            waiting = self._calls.find(meta[classify.META_SUBSCRIPTION])
            if waiting is None or not waiting.is_listening:
                self._stray(message)
            else:
                meta = {**meta, classify.META_SUBSCRIPTION: waiting.asked.id}
                self._tell(waiting, messages.notification(message.method, {**params, "_meta": meta}), size_bytes)
        else:
            self._take_unaddressed(message, size_bytes)

    def _take_unaddressed(self, message: Message, size_bytes: int) -> None:
        """Find whom a notification concerns that names no call."""
        waiting = self._calls.logging() if self._is_shared else self._calls.latest()
        if waiting is not None and (not self._is_shared or message.method == "notifications/message"):
            self._tell(waiting, message, size_bytes)
        elif self._is_shared:
            self._stray(message)
        elif self._said.put(message, size_bytes):
            if self._speaking is None:
                self._speaking = asyncio.get_running_loop().create_task(self._speak(), name="child-says")
        else:
            self._stray(message)

    def _take_cancellation(self, id_: object) -> None:
        if self._questions.withdraw(id_):
            return
        waiting = self._calls.find(id_)
        if waiting is not None and waiting.is_listening:
            # A server that ends a subscription says so (MCP 2026-07-28, Cancellation); its answer may not follow.
            meta = {classify.META_SUBSCRIPTION: waiting.asked.id}
            waiting.answer(messages.response(waiting.asked.id, {"resultType": "complete", "_meta": meta}))

    def _fail(self, id_: Id | None, code: int, text: str) -> None:
        waiting = self._calls.find(id_)
        if waiting is not None:
            waiting.answer(messages.failure(waiting.asked.id, code, text))

    def _tell(self, waiting: Waiting, message: Message, size_bytes: int) -> None:
        if not waiting.tell(message, size_bytes):
            self._stray(message)

    def _stray(self, message: Message) -> None:
        self.strays += 1
        if _log.isEnabledFor(logging.DEBUG):
            fields = {"child": self._name, "what": repr(message), "strays": self.strays}
            _log.debug("child.stray_message", extra={"portside": fields})

    # -- what goes ------------------------------------------------------------------------------

    async def _write(self, line: bytes) -> None:
        if self.is_lost or self._wire is None:
            raise HostGone(self._why.message, hint=self._why.hint)
        await self._wire.write(line)

    def _write_soon(self, line: bytes) -> bool:
        return self._wire is not None and not self.is_lost and self._wire.write_soon(line)

    def _cancel(self, waiting: Waiting) -> None:
        """Tell the server that nobody waits any more. Not where it does not read: then it hears nothing anyway."""
        if waiting.asked.method == "initialize":
            return  # must not be cancelled (MCP 2025-11-25, Cancellation)
        if self._is_shared and waiting.wants_log:
            self._calls.linger()
        self._write_soon(messages.notification("notifications/cancelled", {"requestId": waiting.number}).encode())

    async def _speak(self) -> None:
        """Pass on what the server says on its own, in order."""
        while self._said:
            try:
                await self._back.notify(self._said.take())
            except Exception:
                _log.exception("child.notification_failed", extra={"portside": {"child": self._name}})
        self._speaking = None

    def _log_garbage(self, line: bytes, reason: str) -> None:
        if self._trickle.admit():
            fields = {"child": self._name, "reason": reason, "line": shown(line[:400]), "bytes": len(line)}
            fields["left_out"] = self._trickle.take_refused()
            _log.warning("child.not_a_message", extra={"portside": fields})
