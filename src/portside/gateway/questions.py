"""The questions of one suspended call that its client has still to answer."""

import asyncio
from typing import Any, cast

from portside.errors import NoBackChannel
from portside.wire import message, refusal
from portside.wire.message import Message
from portside.wire.translate import Question


class Questions:
    """Open questions by the key their client knows them under; a key is never used twice in one call."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[Message, asyncio.Future[Message]]] = {}
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._open)

    async def ask(self, question: Message) -> Message:
        """Wait for the answer to a question. One that its server gives up waiting for is not asked any more.

        Raises NoBackChannel where `refuse` said so.
        """
        self._count += 1
        key = f"q{self._count}"
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._open[key] = question, answer
        try:
            return await answer
        finally:
            self._open.pop(key, None)

    def asked(self) -> dict[str, Question]:
        """Return key to (method, params) of what is still open."""
        return {key: (question.method, question.params) for key, (question, _) in self._open.items()}

    def take(self, answers: dict[str, Any]) -> None:
        """Hand answers to the questions they belong to; others are ignored, and what stays open may be asked again."""
        for key in [key for key in answers if key in self._open]:
            question, waiting = self._open.pop(key)
            value = answers[key]
            if waiting.done():
                continue
            if isinstance(value, dict):
                waiting.set_result(message.response(question.id, cast("dict[str, Any]", value)))
            else:
                waiting.set_result(message.failure(question.id, refusal.INVALID_PARAMS, "the answer is not an object"))

    def refuse(self, reason: str) -> None:
        """Tell everybody who waits that nobody will answer."""
        for _, waiting in self._open.values():
            if not waiting.done():
                waiting.set_exception(NoBackChannel(reason))
        self._open.clear()
