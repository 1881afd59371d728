"""The questions of one suspended call that its client has still to answer, and the answers it has given."""

import asyncio
import hashlib
from typing import Any, Final, cast

import msgspec

from portside.errors import NoBackChannel
from portside.wire import message, refusal
from portside.wire.message import Message
from portside.wire.translate import Question

MAX_CARRIED: Final = 16 * 1024
"""Bytes of answers that a client carries for us. With more, a call whose replica is lost is not run again."""

Known = list[tuple[str, dict[str, Any]]]
"""Answers by what was asked, in the order in which they were given."""


class Questions:
    """Open questions by the key their client knows them under; a key is never used twice in one call.

    `known` are answers given to another replica, which ran the same call before: they are used up in their order.
    """

    def __init__(self, known: Known | None = None) -> None:
        self._open: dict[str, tuple[Message, asyncio.Future[Message]]] = {}
        self._count = 0
        self._known: Known = list(known or ())
        self._given: Known = []

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

    def known(self, question: Message) -> Message | None:
        """Return the answer the client has given to this very question before, once."""
        key = _digest(question)
        for place, (asked, answer) in enumerate(self._known):
            if asked == key:
                del self._known[place]
                self._given.append((key, answer))
                return message.response(question.id, answer)
        return None

    def claims(self) -> dict[str, Any]:
        """Return what another replica needs to run the call again: what was answered, and what each open key asks.

        Empty where the answers are too long to be carried.
        """
        carried = {"a": self._given, "q": {key: _digest(question) for key, (question, _) in self._open.items()}}
        return carried if len(msgspec.json.encode(carried)) <= MAX_CARRIED else {}

    def take(self, answers: dict[str, Any]) -> None:
        """Hand answers to the questions they belong to; others are ignored, and what stays open may be asked again."""
        for key in [key for key in answers if key in self._open]:
            question, waiting = self._open.pop(key)
            value = answers[key]
            if waiting.done():
                continue
            if isinstance(value, dict):
                self._given.append((_digest(question), cast("dict[str, Any]", value)))
                waiting.set_result(message.response(question.id, cast("dict[str, Any]", value)))
            else:
                waiting.set_result(message.failure(question.id, refusal.INVALID_PARAMS, "the answer is not an object"))

    def refuse(self, reason: str) -> None:
        """Tell everybody who waits that nobody will answer."""
        for _, waiting in self._open.values():
            if not waiting.done():
                waiting.set_exception(NoBackChannel(reason))
        self._open.clear()


def carried(claims: dict[str, Any], answers: dict[str, Any]) -> Known | None:
    """Return every answer of a call so far: those in its claims, and those that came with a retry.

    None where the claims do not say enough to run the call again.
    """
    if "a" not in claims:
        return None
    given: Known = [(str(asked), answer) for asked, answer in claims["a"]]
    now = [(asked, answers[key]) for key, asked in claims["q"].items() if isinstance(answers.get(key), dict)]
    return given + now


def _digest(question: Message) -> str:
    body = msgspec.json.encode([question.method, question.params], order="sorted")
    return hashlib.sha256(body).hexdigest()[:32]
