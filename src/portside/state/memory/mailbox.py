"""Letters between holders in memory."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from portside.clock import Clock
from portside.errors import MailboxFull

MAX_LETTERS: Final = 10_000
MAX_BYTES: Final = 16 * 1024 * 1024


class _Box:
    """One holder's letters, oldest first, each with the time at which it expires."""

    __slots__ = ("arrived", "letters", "readers", "size")

    def __init__(self) -> None:
        self.letters: deque[tuple[float, bytes]] = deque()
        self.size = 0
        self.arrived = asyncio.Event()
        self.readers = 0

    def purge(self, now: float) -> None:
        """Throw away what nobody fetched in time."""
        self.letters = deque(kept for kept in self.letters if kept[0] > now)
        self.size = sum(len(letter) for _, letter in self.letters)

    def take(self, now: float) -> list[bytes]:
        """Empty the box and return what has not expired."""
        found = [letter for until, letter in self.letters if until > now]
        self.letters.clear()
        self.size = 0
        self.arrived.clear()
        return found


class MemoryMailbox:
    """`Mailbox` of one process, each box bounded by count and bytes."""

    def __init__(self, clock: Clock, *, max_letters: int = MAX_LETTERS, max_bytes: int = MAX_BYTES) -> None:
        self._clock = clock
        self._max_letters = max_letters
        self._max_bytes = max_bytes
        self._boxes: dict[str, _Box] = {}

    async def send(self, to: str, letters: Sequence[bytes], *, ttl_ms: int) -> None:
        now = self._clock.monotonic()
        self._forget_abandoned(now)
        box = self._boxes.setdefault(to, _Box())
        size = sum(map(len, letters))
        if not self._has_room(box, len(letters), size):
            box.purge(now)
            if not self._has_room(box, len(letters), size):
                raise MailboxFull(
                    f"the box of {to!r} holds {len(box.letters)} letters of {box.size} bytes: "
                    f"expected room for {len(letters)} more of {size} bytes"
                )
        box.letters.extend((now + ttl_ms / 1000, letter) for letter in letters)
        box.size += size
        box.arrived.set()

    async def receive(self, holder: str, *, wait_ms: int) -> Sequence[bytes]:
        deadline = asyncio.get_running_loop().time() + wait_ms / 1000
        box = self._boxes.setdefault(holder, _Box())
        box.readers += 1
        try:
            async with asyncio.timeout_at(deadline):
                while not (found := box.take(self._clock.monotonic())):
                    await box.arrived.wait()
                return found
        except TimeoutError:
            return []
        finally:
            box.readers -= 1

    async def take_back(self, to: str, letter: bytes) -> bool:
        box = self._boxes.get(to)
        found = next((kept for kept in box.letters if kept[1] == letter), None) if box is not None else None
        if box is None or found is None:
            return False
        box.letters.remove(found)
        box.size -= len(letter)
        return True

    async def drop(self, holder: str) -> None:
        self._boxes.pop(holder, None)

    def _has_room(self, box: _Box, letters: int, size: int) -> bool:
        return len(box.letters) + letters <= self._max_letters and box.size + size <= self._max_bytes

    def _forget_abandoned(self, now: float) -> None:
        """Forget boxes whose holders ended without a word; boxes are few, one a replica."""
        for holder, box in list(self._boxes.items()):
            if box.readers == 0 and (not box.letters or box.letters[-1][0] <= now):
                box.purge(now)
                if not box.letters:
                    del self._boxes[holder]
