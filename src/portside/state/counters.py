"""Counting uses in memory, exactly: the times of the last uses, as many as a window may hold."""

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from portside.clock import Clock
from portside.state.base import Limit, Verdict

MAX_KEYS: Final = 100_000
_SWEPT_A_HIT: Final = 2
_STEPS: Final = 8


class _Times:
    """When the last `most` uses happened, in milliseconds, oldest first, in a ring."""

    __slots__ = ("_live", "_next", "_ring", "last", "most", "window_ms")

    def __init__(self, most: int, window_ms: int) -> None:
        # A use that never happened lies before every window.
        self._ring = array("d", [float("-inf")]) * most
        self._next = 0
        self._live = 0
        self.last = float("-inf")
        self.most = most
        self.window_ms = window_ms

    def nth_oldest(self, n: int) -> float:
        """Return when the use happened that must be forgotten before `n` more are possible."""
        return self._ring[(self._next + n - 1) % self.most]

    def count(self, now: float) -> int:
        """Return how many uses the window that ends now holds.

        What was counted last is looked at first: few uses leave the window from one time to the next.
        """
        edge, ring, live = now - self.window_ms, self._ring, self._live
        for _ in range(_STEPS):
            if live == 0 or ring[(self._next - live) % self.most] > edge:
                break
            live -= 1
        else:
            live = self._halved(edge)
        self._live = live
        return live

    def _halved(self, edge: float) -> int:
        """Return the same by halving: the ring is sorted from its oldest."""
        start, size, low, high = self._next, self.most, 0, self.most
        while low < high:
            middle = (low + high) // 2
            if self._ring[(start + middle) % size] > edge:
                high = middle
            else:
                low = middle + 1
        return size - low

    def take(self, now: float) -> tuple[int, float]:
        """Count one use, and return how many are left and how many ms until there is one more; or -1, and until then.

        What `nth_oldest`, `count` and `add` would say one after the other, in one step: nearly every request does it.
        """
        ring, most, next_ = self._ring, self.most, self._next
        wait = ring[next_] + self.window_ms - now
        if wait > 0:
            return -1, wait
        live = self.count(now) + 1
        ring[next_] = self.last = now
        self._live = live
        self._next = next_ = (next_ + 1) % most
        return most - live, ring[(next_ - live) % most] + self.window_ms - now

    def add(self, now: float, cost: int) -> None:
        for _ in range(cost):
            self._ring[self._next] = now
            self._next = (self._next + 1) % self.most
        self._live = min(self.most, self._live + cost)
        self.last = now


class MemoryCounters:
    """`Counters` of one process: eight bytes a use, and at most `max_keys` keys.

    Keys whose uses have all left the window are dropped as others are used. Where even so there are too many, new keys
    are counted together, so that a flood of made-up keys can neither fill memory nor push out a key in use.
    """

    def __init__(self, clock: Clock, *, max_keys: int = MAX_KEYS) -> None:
        self._clock = clock
        self._max_keys = max_keys
        self._keys: OrderedDict[str, _Times] = OrderedDict()

    def __len__(self) -> int:
        return len(self._keys)

    async def hit(self, limits: Sequence[Limit], *, cost: int = 1) -> Verdict:
        now = self._clock.monotonic() * 1000
        if cost == 1 and len(limits) == 1 and limits[0].most > 0:
            return self._hit_one(limits[0], now)
        if not limits or not 1 <= cost <= min(limit.most for limit in limits):
            raise ValueError(f"{cost} uses under {len(limits)} limits: expected 1 to the smallest of them")
        self._sweep(now)
        found = [(limit, self._times(limit)) for limit in limits]
        waits = [(times.nth_oldest(cost) + times.window_ms - now, limit, times) for limit, times in found]
        wait, limit, times = max(waits, key=lambda one: one[0])
        if wait > 0:
            return Verdict(False, limit, times.most - times.count(now), _ceil(wait), _ceil(wait))
        for _, used in found:
            used.add(now, cost)
        return _nearest(found, now)

    def _hit_one(self, limit: Limit, now: float) -> Verdict:
        """Do the same for one use under one limit, which is what nearly every request is."""
        if len(self._keys) > 1:
            self._sweep(now)
        left, wait = self._times(limit).take(now)
        if left < 0:
            return Verdict(False, limit, 0, _ceil(wait), _ceil(wait))
        return Verdict(True, limit, left, _ceil(wait))

    def _times(self, limit: Limit) -> _Times:
        key = limit.key
        times = self._keys.get(key)
        if times is None and len(self._keys) >= self._max_keys:
            key = f"(others) {limit.name}"
            times = self._keys.get(key)
        if times is None or times.most != limit.most or times.window_ms != limit.window_ms:
            times = self._keys[key] = _Times(limit.most, limit.window_ms)
        self._keys.move_to_end(key)
        return times

    def _sweep(self, now: float) -> None:
        """Drop keys from the end that was used longest ago."""
        for _ in range(_SWEPT_A_HIT):
            key = next(iter(self._keys), None)
            if key is None or self._keys[key].last > now - self._keys[key].window_ms:
                return
            del self._keys[key]


def _nearest(found: Sequence[tuple[Limit, _Times]], now: float) -> Verdict:
    """Return the verdict on the limit with the smallest share left."""
    left = [(times.most - times.count(now), limit, times) for limit, times in found]
    remaining, limit, times = min(left, key=lambda one: one[0] / one[1].most)
    return _verdict(limit, times, remaining, now)


def _verdict(limit: Limit, times: _Times, remaining: int, now: float) -> Verdict:
    oldest = times.nth_oldest(remaining + 1) if remaining < times.most else now
    return Verdict(True, limit, remaining, _ceil(oldest + times.window_ms - now))


def _ceil(milliseconds: float) -> int:
    return max(0, -int(-milliseconds // 1))
