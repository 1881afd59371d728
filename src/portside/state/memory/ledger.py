"""Calls under their idempotency keys, in memory."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from portside.clock import Clock
from portside.errors import StateUnavailable
from portside.state.base import Entry

MAX_ENTRIES: Final = 10_000


@dataclass(slots=True)
class _Call:
    digest: str
    owner: str
    token: int
    until: float
    outcome: bytes | None = None


class MemoryLedger:
    """`Ledger` of one process. Past `max_entries` the call that ended longest ago is forgotten, never a running one.

    Where all of them are running, `begin` raises StateUnavailable.
    """

    def __init__(self, clock: Clock, *, max_entries: int = MAX_ENTRIES) -> None:
        self._clock = clock
        self._max_entries = max_entries
        self._running: OrderedDict[str, _Call] = OrderedDict()
        self._done: OrderedDict[str, _Call] = OrderedDict()
        self._token = 0

    async def begin(self, key: str, digest: str, owner: str, *, ttl_ms: int) -> Entry:
        call = self._find(key)
        return self._claim(key, digest, owner, ttl_ms) if call is None else _entry(call, digest)

    async def retake(self, key: str, digest: str, owner: str, *, token: int, ttl_ms: int) -> Entry:
        call = self._find(key)
        if call is None:
            return self._claim(key, digest, owner, ttl_ms)
        entry = _entry(call, digest)
        return self._claim(key, digest, owner, ttl_ms) if (entry.status, entry.token) == ("running", token) else entry

    async def finish(self, key: str, outcome: bytes, *, token: int, ttl_ms: int) -> bool:
        call = self._find(key)
        if call is None or call.token != token:
            return False
        call.outcome = outcome
        call.until = self._clock.monotonic() + ttl_ms / 1000
        self._running.pop(key, None)
        self._done[key] = call
        self._done.move_to_end(key)
        return True

    async def forget(self, key: str, *, token: int) -> bool:
        call = self._find(key)
        if call is None or call.token != token or call.outcome is not None:
            return False
        del self._running[key]
        return True

    def _claim(self, key: str, digest: str, owner: str, ttl_ms: int) -> Entry:
        self._make_room(key)
        self._token += 1
        self._running[key] = _Call(digest, owner, self._token, self._clock.monotonic() + ttl_ms / 1000)
        return Entry("new", self._token, owner)

    def _find(self, key: str) -> _Call | None:
        """Return a call that has not expired; one that has is forgotten."""
        call = self._running.get(key) or self._done.get(key)
        if call is None or call.until > self._clock.monotonic():
            return call
        self._running.pop(key, None)
        self._done.pop(key, None)
        return None

    def _make_room(self, key: str) -> None:
        if key in self._running or len(self._running) + len(self._done) < self._max_entries:
            return
        now = self._clock.monotonic()
        self._running = OrderedDict((name, call) for name, call in self._running.items() if call.until > now)
        if len(self._running) >= self._max_entries:
            raise StateUnavailable(f"the ledger holds {len(self._running)} running calls: expected one to end first")
        while len(self._running) + len(self._done) >= self._max_entries:
            self._done.popitem(last=False)


def _entry(call: _Call, digest: str) -> Entry:
    if call.digest != digest:
        return Entry("conflict")
    if call.outcome is not None:
        return Entry("done", call.token, call.owner, call.outcome)
    return Entry("running", call.token, call.owner)
