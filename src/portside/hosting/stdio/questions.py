"""What a server asks its client over one connection: put to whoever can answer, a task each, and answered for sure."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, cast

from portside.errors import HostGone, NoBackChannel
from portside.hosting.base import Back
from portside.wire import message as messages
from portside.wire import methods, refusal
from portside.wire.message import Id, Message

_log = logging.getLogger("portside.child")

MAX_QUESTIONS: Final = 64
"""How many may be open at once on one connection."""

ROOTS_GRACE_S: Final = 10.0
"""How long roots may be waited for once the call has ended on whose stream they were asked for."""


@dataclass(slots=True)
class _Open:
    task: "asyncio.Task[None]"
    number: int | None
    method: str
    is_withdrawn: bool = False


class Questions:
    """The open questions of one server. `send` writes an answer and may wait; `send_soon` must not."""

    def __init__(self, name: str, send: Callable[[bytes], Awaitable[None]], send_soon: Callable[[bytes], bool]) -> None:
        self._name = name
        self._send = send
        self._send_soon = send_soon
        self._open: dict[Id, _Open] = {}

    def put(self, asked: Message, back: Back, number: int | None) -> None:
        """Ask `back`, on behalf of the call `number` where it belongs to one; the answer goes to the server."""
        id_ = cast("Id", asked.id)
        if asked.method not in methods.QUESTION_CAPABILITY:
            self.refuse(asked, refusal.METHOD_NOT_FOUND, "Method not found")
        elif id_ in self._open:
            self.refuse(asked, refusal.INVALID_REQUEST, "a request with this id is still open")
        elif len(self._open) >= MAX_QUESTIONS:
            self.refuse(asked, refusal.INTERNAL_ERROR, f"more than {MAX_QUESTIONS} questions are open")
        else:
            task = asyncio.get_running_loop().create_task(self._ask(asked, back), name="question")
            self._open[id_] = _Open(task, number, asked.method)
            # Not at the end of the task itself: one cancelled before its first step has no end.
            task.add_done_callback(lambda done: self._forget(asked, done))

    def refuse(self, asked: Message, code: int, text: str) -> None:
        """Answer a request of the server with an error."""
        self._send_soon(messages.failure(asked.id, code, text).encode())

    def withdraw(self, id_: object) -> bool:
        """Give up a question its server cancelled; say whether it was open."""
        found = self._open.get(id_) if isinstance(id_, int | str) else None
        if found is not None:
            found.is_withdrawn = True
            found.task.cancel()
        return found is not None

    def end(self, number: int) -> None:
        """Give up what the call `number` was asked: nobody answers there any more.

        Which roots there are is asked of the client as a whole, mostly after the handshake, and by chance while some
        call is under way: that its answer comes after the call's own is no reason to give it up.
        """
        for one in [one for one in self._open.values() if one.number == number]:
            if one.method == "roots/list":
                one.number = None
                asyncio.get_running_loop().call_later(ROOTS_GRACE_S, one.task.cancel)
            else:
                one.task.cancel()

    def end_all(self) -> None:
        """Give up every question; the server is gone."""
        for one in list(self._open.values()):
            one.is_withdrawn = True
            one.task.cancel()

    def _forget(self, asked: Message, task: "asyncio.Task[None]") -> None:
        closed = self._open.pop(cast("Id", asked.id))
        if task.cancelled() and not closed.is_withdrawn:
            self.refuse(asked, refusal.INVALID_REQUEST, "the call it was put to has ended")

    async def _ask(self, asked: Message, back: Back) -> None:
        reply = await self._answer(asked, back)
        with contextlib.suppress(HostGone):  # who asked is not there to hear the answer
            await self._send(reply.encode())

    async def _answer(self, asked: Message, back: Back) -> Message:
        try:
            reply = await back.request(asked)
        except NoBackChannel as error:
            # What the SDKs' own clients answer where they cannot be asked.
            return messages.failure(asked.id, refusal.INVALID_REQUEST, error.message)
        except Exception:
            _log.exception("child.question_failed", extra={"portside": {"child": self._name, "method": asked.method}})
            return messages.failure(asked.id, refusal.INTERNAL_ERROR, "Internal error")
        return Message("response", id=asked.id, result=reply.result, error=reply.error)
