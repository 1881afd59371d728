"""When a process that keeps ending may be started again."""

from collections import deque
from dataclasses import dataclass

from portside.clock import Clock


@dataclass(frozen=True, slots=True)
class Patience:
    """How restarts are spaced: doubling from the first wait to the longest, forgotten after a stable time.

    `max_starts` failures within `window_s` are a crash loop: then nothing is started for `pause_s`.
    """

    first_s: float = 0.1
    longest_s: float = 30.0
    stable_s: float = 60.0
    max_starts: int = 8
    window_s: float = 60.0
    pause_s: float = 30.0


class Backoff:
    """Counts how a process ended, and says how long to wait before the next start."""

    def __init__(self, clock: Clock, patience: Patience) -> None:
        self._clock = clock
        self._patience = patience
        self._started: float | None = None
        self._wait_s = 0.0
        self._not_before = clock.monotonic()
        self._failures: deque[float] = deque(maxlen=patience.max_starts)
        self._is_looping = False

    def started(self) -> None:
        """Note a start that worked."""
        self._started = self._clock.monotonic()

    def recovered(self) -> None:
        """Forget every failure: it works."""
        self._wait_s = 0.0
        self._not_before = self._clock.monotonic()
        self._failures.clear()
        self._is_looping = False

    def failed(self) -> None:
        """Note an end nobody wanted, or a start that failed; after a stable time it counts as the first."""
        patience, now = self._patience, self._clock.monotonic()
        if self._started is not None and now - self._started >= patience.stable_s:
            self.recovered()
        self._started = None
        self._failures.append(now)
        self._wait_s = min(max(self._wait_s * 2, patience.first_s), patience.longest_s)
        is_full = len(self._failures) == patience.max_starts
        self._is_looping = is_full and now - self._failures[0] <= patience.window_s
        self._not_before = now + (max(patience.pause_s, self._wait_s) if self._is_looping else self._wait_s)

    @property
    def wait_s(self) -> float:
        """Seconds until the next start may be; 0 where it may be now."""
        return max(0.0, self._not_before - self._clock.monotonic())

    @property
    def is_looping(self) -> bool:
        """Whether it has ended so often that it is left alone for now."""
        return self._is_looping and self.wait_s > 0
