"""How often something may be said: a few times at once, then steadily, and what was left out is counted."""

from portside.clock import Clock


class Trickle:
    """Admits `burst` at once and `per_s` each second after that."""

    def __init__(self, clock: Clock, *, burst: int, per_s: float) -> None:
        self._clock = clock
        self._burst = burst
        self._per_s = per_s
        self._left = float(burst)
        self._at = clock.monotonic()
        self._refused = 0

    def admit(self) -> bool:
        """Say whether one more may be said now; a refused one is counted."""
        now = self._clock.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1:
            self._refused += 1
            return False
        self._left -= 1
        return True

    def take_refused(self) -> int:
        """Return how many were refused since this was asked last."""
        refused, self._refused = self._refused, 0
        return refused
