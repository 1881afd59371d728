"""The channel of a call that several callers wait for: questions go to each of them, the first answer counts."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from portside.errors import NoBackChannel
from portside.hosting.base import Back
from portside.wire.message import Message


class _OnChange(Protocol):
    def __call__(self, *, is_asking: bool) -> None: ...


class _Question:
    """One open question, and who is being asked it."""

    def __init__(self, question: Message, answer: asyncio.Future[Message]) -> None:
        self.question = question
        self.answer = answer
        self.asked: dict[asyncio.Task[None], Back] = {}
        self.error: NoBackChannel | None = None


class Asking:
    """A `Back` over those of all who wait. What is said meanwhile is told to the first alone, whose token it bears.

    Whoever comes later is asked what is still open: the one who was asked before may never have got the question.
    `on_change` is called when the first question opens, and when the last one closes.
    """

    def __init__(self, *, on_change: _OnChange) -> None:
        self.backs: list[Back] = []
        self._first: Back | None = None
        self._open: list[_Question] = []
        self._on_change = on_change

    @property
    def is_open(self) -> bool:
        """Whether an answer is waited for."""
        return bool(self._open)

    def join(self, back: Back) -> None:
        """Add somebody who waits."""
        if self._first is None:
            self._first = back
        self.backs.append(back)
        for one in self._open:
            self._put(one, back)

    def leave(self, back: Back) -> None:
        """Take away somebody who has left, or has the answer; may be one of several with the same channel."""
        self.backs.remove(back)
        for one in self._open:
            for task in [task for task, asked in one.asked.items() if asked is back]:
                task.cancel()

    async def notify(self, message: Message) -> None:
        """Pass a notification on to the first caller, where it is still there."""
        first = self._first
        if first is not None and first in self.backs:
            await first.notify(message)

    async def request(self, message: Message) -> Message:
        """Ask everybody who waits and return the first answer. Raises NoBackChannel where nobody can answer."""
        if not self.backs:
            raise NoBackChannel(f"nobody can be asked {message.method!r}: the client has left")
        one = _Question(message, asyncio.get_running_loop().create_future())
        self._open.append(one)
        if len(self._open) == 1:
            self._on_change(is_asking=True)
        try:
            for back in self.backs:
                self._put(one, back)
            return await one.answer
        finally:
            self._open.remove(one)
            for task in one.asked:
                task.cancel()
            if not self._open:
                self._on_change(is_asking=False)

    def _put(self, one: _Question, back: Back) -> None:
        task = asyncio.get_running_loop().create_task(_ask(one, back), name="keyed-question")
        one.asked[task] = back
        task.add_done_callback(_dropping(one))


async def _ask(one: _Question, back: Back) -> None:
    try:
        answer = await back.request(one.question)
    except NoBackChannel as error:
        one.error = error
        return
    if not one.answer.done():
        one.answer.set_result(answer)


def _dropping(one: _Question) -> Callable[[asyncio.Task[None]], None]:
    def drop(task: asyncio.Task[None]) -> None:
        """Give the question up once the last one who was asked cannot answer it."""
        one.asked.pop(task, None)
        broken = None if task.cancelled() else task.exception()
        if one.asked or one.answer.done():
            return
        error = broken or one.error
        if error is not None:
            one.answer.set_exception(error)

    return drop
