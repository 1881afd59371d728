"""The client of one legacy session, where its server asks it something: the answer comes in a POST of its own."""

import asyncio
from collections.abc import Awaitable, Callable

from portside.errors import NoBackChannel
from portside.gateway.ownership import Ownership
from portside.wire import message, methods, translate
from portside.wire.message import Id, Message
from portside.wire.session import SessionRecord

Emit = Callable[[bytes], Awaitable[None]]
"""Sends one message to the client."""


class Client:
    """Who is asked, and what it has still to answer."""

    __slots__ = ("_asked", "_initialize", "_loop", "_open", "_ownership")

    def __init__(self, record: SessionRecord, ownership: Ownership, loop: asyncio.AbstractEventLoop) -> None:
        self._initialize = record.initialize
        self._ownership = ownership
        self._loop = loop
        self._open: dict[Id, asyncio.Future[Message]] = {}
        self._asked = 0

    def check(self, question: Message) -> None:
        """Raise NoBackChannel for a question that the client did not declare to answer."""
        if question.method not in methods.QUESTION_CAPABILITY or not self._initialize:
            return
        capabilities = self._initialize.get("capabilities")
        lacking = translate.lacks_capability(question.method, question.params, capabilities)
        if lacking is not None:
            raise NoBackChannel(f"the client declared no {lacking!r} capability")

    async def ask(self, question: Message, emit: Emit) -> Message:
        """Send a question and wait for the response. Raises NoBackChannel where the session ends first."""
        self._asked += 1
        # Never numeric: the SDK correlates ids that read as integers with its own counter.
        id_ = f"portside-{self._ownership.epoch}-{self._asked}"
        answer: asyncio.Future[Message] = self._loop.create_future()
        self._open[id_] = answer
        try:
            await emit(message.request(id_, question.method, question.params).encode())
            return await answer
        finally:
            self._open.pop(id_, None)

    def take(self, response: Message) -> None:
        """Hand a response to whoever asked; one that nobody waits for is dropped."""
        waiting = self._open.get(response.id) if response.id is not None else None
        if waiting is not None and not waiting.done():
            waiting.set_result(response)

    def end(self) -> None:
        """Give up what has not been answered."""
        for waiting in list(self._open.values()):
            if not waiting.done():
                waiting.set_exception(NoBackChannel("the session has ended"))
