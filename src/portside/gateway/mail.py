"""The letters between this replica and the others: sealed, sent in turn, read in order."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from typing import Final

from portside.errors import MailboxFull, StateUnavailable
from portside.gateway.letters import Gone, Letter, Post
from portside.gateway.presence import Presence
from portside.state.base import Mailbox

LETTER_MS: Final = 30_000
WAIT_MS: Final = 1000
LOOK_S: Final = 0.15
"""How often somebody who waits for another replica looks whether it lives."""

AWAY_S: Final = 0.5
"""How long a relayed request waits on while mail does not go: with a look and its deadline, 1 s and a little."""

CLOSE_S: Final = 1.0
"""How long the last letters may take to be read, and again to be answered."""

_log = logging.getLogger("portside.gateway")

Hear = Callable[[str, Letter], None]
"""Hears of every letter, after its sender; what is not for it, it ignores."""


class Mail:
    """What this replica writes to others, and what they write to it."""

    def __init__(self, mailbox: Mailbox, presence: Presence, sealing: Sequence[bytes]) -> None:
        self._mailbox = mailbox
        self._presence = presence
        self._post = Post(presence.holder, sealing)
        self._turns: dict[str, asyncio.Lock] = {}
        self._echoes: dict[str, asyncio.Event] = {}
        self._reading: asyncio.Task[None] | None = None
        self._breaks = 0
        self._is_stopping = False

    @property
    def doubts(self) -> int:
        """A number that changes whenever letters may have been lost: mail was cut off, or emptied."""
        return self._breaks + self._presence.returns

    def open(self, *hearers: Hear) -> None:
        """Begin to read letters."""
        self._reading = asyncio.create_task(self._read(hearers), name="mail")

    async def stop(self) -> None:
        """Read what lies in the box by now, within CLOSE_S, and nothing after that. Letters still go out."""
        if self._reading is None:
            return
        # A letter of our own is the last one that is read: cancelled in the middle, others would be lost that were
        # taken out already. What comes later stays in the box, for its sender to take back.
        self._is_stopping = True
        await self.try_send(self._presence.holder, Gone(""))
        await asyncio.wait([self._reading], timeout=CLOSE_S)

    async def close(self) -> None:
        """Read nothing more. May be called twice."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.wait([reading])

    async def send(self, to: str, letters: Sequence[Letter]) -> Sequence[bytes]:
        """Send letters in order; return them as they were sent. Raises StateUnavailable, MailboxFull."""
        # One at a time to each reader: their numbers must arrive in order.
        async with self._turns.setdefault(to, asyncio.Lock()):
            sealed = [self._post.seal(to, one) for one in letters]
            await self._mailbox.send(to, sealed, ttl_ms=LETTER_MS)
            return sealed

    async def try_send(self, to: str, letter: Letter) -> None:
        """Send a letter without which the others do as well."""
        try:
            await self.send(to, [letter])
        except (StateUnavailable, MailboxFull) as error:
            _log.debug("a letter could not be sent: %s", error.message)

    async def take_back(self, to: str, sealed: bytes) -> bool:
        """Take a letter out of another's box; say whether it lay there still, unread. Raises StateUnavailable."""
        return await self._mailbox.take_back(to, sealed)

    async def caught_up(self) -> None:
        """Return once every letter that lies in our own box by now has been read, after AWAY_S at the latest."""
        echo = secrets.token_hex(16)
        read = self._echoes[echo] = asyncio.Event()
        try:
            async with asyncio.timeout(AWAY_S):
                await self.send(self._presence.holder, [Gone(echo)])
                await read.wait()
        except (TimeoutError, StateUnavailable, MailboxFull) as error:
            _log.debug("what a lost replica said last may not have been read: %s", error)
        finally:
            self._echoes.pop(echo, None)

    async def _read(self, hearers: Sequence[Hear]) -> None:
        while not self._is_stopping:
            try:
                letters = await self._mailbox.receive(self._presence.holder, wait_ms=WAIT_MS)
            except StateUnavailable as error:
                _log.debug("letters cannot be read now: %s", error.message)
                self._breaks += 1
                await asyncio.sleep(LOOK_S)
                continue
            for sealed in letters:
                opened = self._post.open(sealed)
                if opened is not None:
                    self._dispatch(hearers, *opened)

    def _dispatch(self, hearers: Sequence[Hear], sender: str, letter: Letter) -> None:
        if sender == self._presence.holder and letter.exchange in self._echoes:
            self._echoes[letter.exchange].set()
            return
        for hear in hearers:
            hear(sender, letter)
