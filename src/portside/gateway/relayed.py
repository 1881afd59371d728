"""The response to a request that another replica was asked: written as letters to that replica."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from portside.errors import MailboxFull, StateUnavailable
from portside.gateway.http import Headers
from portside.gateway.letters import Head, Letter, Part, Told
from portside.observe.record import Record

PART_BYTES: Final = 256 * 1024
MAX_UNREAD_BYTES: Final = 512 * 1024
"""How much may be on its way to a client that reads slowly, before whoever writes has to wait."""

Send = Callable[[str, Sequence[Letter]], Awaitable[object]]


class RelayedOut:
    """An `Outgoing` whose client is connected to `reader`, another replica. Once letters do not go out, it is gone."""

    def __init__(self, exchange: str, reader: str, record: Record, send: Send) -> None:
        self.reader = reader
        self.is_over = False
        self._exchange = exchange
        self._record = record
        self._send = send
        self._head: Head | None = None
        self._number = -1
        self._unread: dict[int, int] = {}
        self._room = asyncio.Event()
        self._gone = asyncio.Event()

    async def start(self, status: int, headers: Headers) -> None:
        """Keep the head for the first part: most responses are one letter's way."""
        self._head = Head(self._exchange, status, list(headers))

    async def write(self, body: bytes, *, more: bool) -> None:
        """Send a part of the body, waiting for a reader that is behind; nothing once the client has left."""
        if self._gone.is_set():
            return
        letters: list[Letter] = [] if self._head is None else [self._head]
        self._head = None
        pieces = [body[at : at + PART_BYTES] for at in range(0, len(body), PART_BYTES)] or [b""]
        for place, piece in enumerate(pieces):
            is_last = not more and place == len(pieces) - 1
            if is_last:
                record = self._record
                letters.append(Told(self._exchange, record.outcome, record.error_code, record.error, record.revision))
            letters.append(self._part(piece, more=not is_last))
            await self._hand_over(letters)
            letters = []
        if not more:
            self.is_over = True
            self._gone.set()

    async def gone(self) -> None:
        await self._gone.wait()

    def take(self, number: int) -> None:
        """Hear that the client has taken all parts up to `number`."""
        for one in [one for one in self._unread if one <= number]:
            del self._unread[one]
        self._room.set()

    def leave(self) -> None:
        """Hear that the client has left."""
        self._gone.set()
        self._room.set()

    def _part(self, body: bytes, *, more: bool) -> Part:
        self._number += 1
        if body and more:
            self._unread[self._number] = len(body)
        return Part(self._exchange, self._number, body, more)

    async def _hand_over(self, letters: Sequence[Letter]) -> None:
        try:
            await self._send(self.reader, letters)
        except (StateUnavailable, MailboxFull):
            self.leave()
            return
        while sum(self._unread.values()) > MAX_UNREAD_BYTES and not self._gone.is_set():
            self._room.clear()
            await self._room.wait()
