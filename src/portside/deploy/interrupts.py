"""Ctrl+C while something is being changed: the first one turns back, the second one leaves everything as it is."""

import asyncio
import signal
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """What was interrupted so far, by whichever signal."""

    def __init__(self) -> None:
        self._events = (asyncio.Event(), asyncio.Event())
        self._name = ""

    @property
    def count(self) -> int:
        """How often, up to twice."""
        return sum(event.is_set() for event in self._events)

    async def beyond(self, allowed: int) -> str:
        """Wait until there was one more than these (0 or 1), and say what it was."""
        await self._events[allowed].wait()
        return f"interrupted{' again' if allowed else ''} by {self._name}"

    def interrupt(self, name: str) -> None:
        """Interrupt once more. `name` says by what."""
        self._name = name
        self._events[min(1, self.count)].set()

    @contextmanager
    def listening(self) -> Generator[None]:
        """Hear signals for the block, instead of being ended by them; for the main thread."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.interrupt, number.name)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)
