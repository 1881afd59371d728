"""Requests that other replicas ask this one to answer, and sessions that they ask it to let go of."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from portside.errors import MailboxFull, StateUnavailable
from portside.gateway.http import Incoming, Outgoing
from portside.gateway.letters import Ask, Gone, Letter, Still, Taken, Yield, Yielded
from portside.gateway.mail import CLOSE_S, LOOK_S, Mail
from portside.gateway.presence import Presence
from portside.gateway.relayed import RelayedOut
from portside.observe.record import Record

GONE_S: Final = 5.0
"""How long is tried to tell another replica that a response of ours has broken off."""

_log = logging.getLogger("portside.gateway")

Answer = Callable[[Incoming, Outgoing], Awaitable[None]]


class Moved(Exception):
    """Raised by an `Answer` for a request of which it has done nothing, since its session is let go here."""


class Answering:
    """The far end of every relay: what is being answered for others here.

    `answer` answers a request as if it had come in here: it is admitted already. `give_up` lets go of a session where
    that costs nothing, and says whether it did.
    """

    def __init__(
        self, mail: Mail, presence: Presence, answer: Answer, give_up: Callable[[str], Awaitable[bool]]
    ) -> None:
        self._mail = mail
        self._presence = presence
        self._answer = answer
        self._give_up = give_up
        self._under_way: dict[str, RelayedOut] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def hear(self, sender: str, letter: Letter) -> None:
        """Do what another replica asks for."""
        if isinstance(letter, Ask):
            self._begin(self._serve(sender, letter))
        elif isinstance(letter, Yield):
            self._begin(self._yield(sender, letter))
        elif isinstance(letter, Still):
            if letter.exchange not in self._under_way:
                self._begin(self._mail.try_send(sender, Gone(letter.exchange)))
        elif isinstance(letter, Taken | Gone):
            out = self._under_way.get(letter.exchange)
            if out is None or out.reader != sender:
                return
            if isinstance(letter, Taken):
                out.take(letter.number)
            else:
                out.leave()

    async def answered(self) -> None:
        """Return once nothing is being answered for others."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """End what is being answered, after CLOSE_S. May be called twice."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_S)
        left = list(self._tasks)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="relayed")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _yield(self, sender: str, asked: Yield) -> None:
        await self._mail.try_send(sender, Yielded(asked.exchange, await self._give_up(asked.session)))

    async def _serve(self, sender: str, asked: Ask) -> None:
        incoming = _incoming(asked)
        out = RelayedOut(asked.exchange, sender, incoming.record, self._mail.send)
        self._under_way[asked.exchange] = out
        watch = asyncio.create_task(self._watch_reader(out), name="relay-reader")
        has_moved = False
        try:
            await self._answer(incoming, out)
        except Moved:
            has_moved = True
        except Exception:
            _log.error("a relayed request broke", exc_info=True)
        finally:
            watch.cancel()
            self._under_way.pop(asked.exchange, None)
            if not out.is_over:
                await self._break_off(sender, Gone(asked.exchange, has_moved))

    async def _break_off(self, reader: str, gone: Gone) -> None:
        """Tell a reader that nothing more comes; it may have heard nothing of it, where mail did not go."""
        loop = asyncio.get_running_loop()
        until = loop.time() + GONE_S
        while loop.time() < until:
            try:
                await self._mail.send(reader, [gone])
            except (StateUnavailable, MailboxFull) as error:
                _log.debug("that a response has broken off is told later: %s", error.message)
                await asyncio.sleep(LOOK_S)
            else:
                return

    async def _watch_reader(self, out: RelayedOut) -> None:
        """Let the answer know when nobody can read it any more."""
        while True:
            await asyncio.sleep(LOOK_S * 4)
            try:
                if not await self._presence.lives(out.reader):
                    out.leave()
                    return
            except StateUnavailable:
                continue


def _incoming(asked: Ask) -> Incoming:
    return Incoming(
        method=asked.method,
        headers=dict(asked.headers),
        raw_headers=asked.headers,
        body=asked.body,
        record=Record(request_id=asked.request_id, method=asked.method, principal=asked.principal),
        client=asked.client,
        scheme=asked.scheme,
        path=asked.path,
        principal=asked.principal,
        identity=asked.identity.principal() if asked.identity is not None else None,
        is_relayed=True,
    )
