"""One coarse timer for many short waits: what most calls never need must cost them next to nothing."""

import asyncio
from typing import Protocol


class Waiting(Protocol):
    """Something that wants to hear once that it has waited a while."""

    def on_tick(self) -> None:
        """Called once, one to two intervals after it began to wait."""
        ...


class Ticker:
    """Calls `on_tick` of whoever has waited for at least `interval_s`, and at most twice that.

    A timer of the loop's own for each call would cost more than this whole class. Nothing runs while nobody waits.
    `loop` is the running loop: asking for it costs a system call in CPython 3.11, so everybody takes it from here.
    """

    def __init__(self, interval_s: float) -> None:
        self.loop = asyncio.get_running_loop()
        self._interval_s = interval_s
        self._young: set[Waiting] = set()
        self._old: set[Waiting] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, one: Waiting) -> None:
        """Begin to wait."""
        self._young.add(one)
        if self._timer is None:
            self._timer = self.loop.call_later(self._interval_s, self._tick)

    def discard(self, one: Waiting) -> None:
        """Stop waiting, whether it was called or not."""
        self._young.discard(one)
        self._old.discard(one)

    def _tick(self) -> None:
        due, self._old, self._young = self._old, self._young, set()
        self._timer = None
        if self._old:
            self._timer = self.loop.call_later(self._interval_s, self._tick)
        for one in due:
            one.on_tick()
