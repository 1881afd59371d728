"""Requests that belong to another replica: carried there as letters, and their responses back."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from portside.errors import MailboxFull, StateUnavailable
from portside.gateway.answering import Answer, Answering
from portside.gateway.forwarded import Forwarded
from portside.gateway.http import Incoming, Outgoing
from portside.gateway.letters import Gone, Head, Letter, Part, Told, Yield, Yielded
from portside.gateway.mail import Mail
from portside.gateway.presence import Presence
from portside.observe.metrics import Relayed
from portside.state.base import Mailbox

YIELD_S: Final = 1.0


class ReplicaLost(Exception):
    """The other replica is gone, or cannot be reached, and its response had not begun.

    `is_untouched` where it never read the request: then nothing of it was done, nor will be. `is_away` where it may
    well be there, and mail does not go.
    """

    def __init__(self, message: str, *, is_untouched: bool = False, is_away: bool = False) -> None:
        super().__init__(message)
        self.is_untouched = is_untouched
        self.is_away = is_away


class Relay:
    """Carries requests to the replicas they belong to, and answers those that come here. Both ends of every relay.

    `answer` and `give_up` are what `Answering` asks for. `count` hears how each request ended that another was asked.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        presence: Presence,
        sealing: Sequence[bytes],
        answer: Answer,
        give_up: Callable[[str], Awaitable[bool]],
        *,
        count: Callable[[Relayed], None] = lambda _: None,
    ) -> None:
        self._presence = presence
        self._mail = Mail(mailbox, presence, sealing)
        self._answering = Answering(self._mail, presence, answer, give_up)
        self._count = count
        self._yielding: dict[str, asyncio.Future[bool]] = {}
        self._forwarded: dict[str, Forwarded] = {}

    def open(self) -> None:
        """Begin to read letters."""
        self._mail.open(self._hear, self._answering.hear)

    async def close(self) -> None:
        """Stop reading, and end what is being answered for others. May be called twice."""
        await self._mail.stop()
        await self._answering.close()
        await self._mail.close()

    async def answered(self) -> None:
        """Return once nothing is being answered for others."""
        await self._answering.answered()

    async def forward(self, incoming: Incoming, out: Outgoing, *, to: str) -> None:
        """Have a request answered by another replica. Raises ReplicaLost where nothing has been written yet."""
        forwarded = Forwarded(incoming, out, to, self._mail, self._presence)
        self._forwarded[forwarded.exchange] = forwarded
        watch = asyncio.create_task(forwarded.watch_client(), name="relay-client")
        try:
            sent = await forwarded.ask()
            end = await forwarded.write()
            if end == "lost":
                is_untouched = forwarded.has_moved or await self._mail.take_back(to, sent)
                raise ReplicaLost("it does not live any more, or broke off", is_untouched=is_untouched)
            self._count(end)
        except ReplicaLost:
            self._count("moved" if forwarded.has_moved else "lost")
            raise
        except MailboxFull as error:
            self._count("away")
            raise ReplicaLost(error.message, is_untouched=True) from error
        except StateUnavailable as error:
            self._count("away")
            raise ReplicaLost(error.message, is_away=True) from error
        finally:
            watch.cancel()
            self._forwarded.pop(forwarded.exchange, None)

    async def ask_to_yield(self, session: str, *, to: str) -> bool:
        """Have another replica let go of a session; False where it does not, or says nothing for YIELD_S."""
        exchange = secrets.token_hex(16)
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._yielding[exchange] = answer
        try:
            async with asyncio.timeout(YIELD_S):
                await self._mail.send(to, [Yield(exchange, session)])
                return await answer
        except (TimeoutError, StateUnavailable, MailboxFull):
            return False
        finally:
            self._yielding.pop(exchange, None)

    def _hear(self, sender: str, letter: Letter) -> None:
        """Take an answer to what this replica asked of another."""
        if isinstance(letter, Yielded):
            waiting = self._yielding.get(letter.exchange)
            if waiting is not None and not waiting.done():
                waiting.set_result(letter.is_free)
        elif isinstance(letter, Head | Part | Told | Gone):
            forwarded = self._forwarded.get(letter.exchange)
            if forwarded is not None and forwarded.to == sender:
                forwarded.hear(letter)
