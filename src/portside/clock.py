"""Time as an argument: the real clock, and one a test turns by hand."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def monotonic(self) -> float:
        """Seconds that only go up; for durations and deadlines."""
        ...

    def now(self) -> float:
        """Seconds since the epoch; for timestamps people read."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> float:
        return time.time()


class ManualClock:
    """A clock that stands still until `advance` moves it."""

    def __init__(self, start: float = 1_000_000.0) -> None:
        self._time = start

    def monotonic(self) -> float:
        return self._time

    def now(self) -> float:
        return self._time

    def advance(self, seconds: float) -> None:
        """Move both readings forward by `seconds`."""
        self._time += seconds
