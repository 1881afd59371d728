"""What a legacy upstream asks its client: passed on, and the answers carried back in POSTs of their own."""

import asyncio
import logging
from typing import Final

from portside.errors import HostGone, NoBackChannel
from portside.hosting.base import Back, Call
from portside.hosting.upstream.session import RemoteSession
from portside.wire import message, refusal
from portside.wire.message import Id, Message

_log = logging.getLogger("portside.hosting")

MAX_QUESTIONS: Final = 64
"""How many questions of one channel may wait for their answers at once."""


class Questions:
    """The questions on one channel: of one call, or of the connection. `close` withdraws those that still wait."""

    def __init__(self, session: RemoteSession) -> None:
        self._session = session
        self._tasks: dict[Id, asyncio.Task[None]] = {}

    def ask(self, question: Message, back: Back, call: Call) -> None:
        """Put a question to the client and answer the upstream, while the stream it came on is read on."""
        id_ = question.id
        if id_ is None or id_ in self._tasks:
            return  # a question that comes again after a resume is already being asked
        is_full = len(self._tasks) >= MAX_QUESTIONS
        work = self._refuse(question, call) if is_full else self._carry(question, back, call)
        task = self._tasks[id_] = asyncio.create_task(work, name="upstream-question")
        task.add_done_callback(lambda _: self._tasks.pop(id_, None))

    def withdraw(self, id_: object) -> None:
        """Stop asking what the upstream cancelled."""
        task = self._tasks.get(id_) if isinstance(id_, str | int) else None
        if task is not None:
            task.cancel()

    def close(self) -> None:
        """Stop asking."""
        for task in list(self._tasks.values()):
            task.cancel()

    async def _carry(self, question: Message, back: Back, call: Call) -> None:
        await self._answer(await _reply(question, back), call)

    async def _refuse(self, question: Message, call: Call) -> None:
        text = f"more than {MAX_QUESTIONS} questions wait for their answers"
        await self._answer(message.failure(question.id, refusal.INTERNAL_ERROR, text), call)

    async def _answer(self, answer: Message, call: Call) -> None:
        try:
            await self._session.tell(answer, call)
        except HostGone as error:
            _log.warning("an answer did not reach the upstream that asked: %s", error.message)


async def _reply(question: Message, back: Back) -> Message:
    if question.method == "ping":
        return message.response(question.id, {})
    try:
        reply = await back.request(question)
    except NoBackChannel as error:
        return message.failure(question.id, refusal.INVALID_REQUEST, error.message)
    except Exception as error:
        # Somebody else's code; the upstream waits for an answer, whatever happened.
        _log.error("passing on %s failed", question.method, exc_info=error)
        return message.failure(question.id, refusal.INTERNAL_ERROR, "the question could not be passed on")
    return Message("response", id=question.id, result=reply.result, error=reply.error)
