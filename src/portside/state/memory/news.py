"""Announcements in memory."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

MAX_KEPT: Final = 10_000


class MemoryNews:
    """`News` of one process: the newest `max_kept` announcements. A place is the number of the last one heard."""

    def __init__(self, *, max_kept: int = MAX_KEPT) -> None:
        self._kept: deque[bytes] = deque(maxlen=max_kept)
        self._last = 0
        self._published = asyncio.Event()

    async def publish(self, data: bytes) -> None:
        self._kept.append(data)
        self._last += 1
        # Everybody who waits now wakes; whoever comes later waits for the next.
        self._published.set()
        self._published = asyncio.Event()

    async def receive(self, after: str | None, *, wait_ms: int) -> tuple[str, Sequence[bytes]]:
        if after is None:
            return str(self._last), []
        heard = min(int(after), self._last)
        if heard == self._last and wait_ms > 0:
            try:
                async with asyncio.timeout(wait_ms / 1000):
                    await self._published.wait()
            except TimeoutError:
                pass  # what was published in this very moment is returned all the same
        missed = self._last - heard
        return str(self._last), list(self._kept)[-missed:] if missed else []
