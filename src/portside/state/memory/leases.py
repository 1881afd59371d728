"""Leases in memory: who has what, and until when."""

from dataclasses import dataclass

from portside.clock import Clock


@dataclass(slots=True)
class _Lease:
    holder: str
    token: int
    until: float


class MemoryLeases:
    """`Leases` of one process, whose holders share this object."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._leases: dict[str, _Lease] = {}
        self._token = 0

    async def acquire(self, name: str, holder: str, *, ttl_ms: int) -> int | None:
        until = self._clock.monotonic() + ttl_ms / 1000
        lease = self._find(name)
        if lease is None:
            self._token += 1
            lease = self._leases[name] = _Lease(holder, self._token, until)
        if lease.holder != holder:
            return None
        lease.until = until
        return lease.token

    async def release(self, name: str, holder: str) -> bool:
        if not self.is_held(name, holder):
            return False
        del self._leases[name]
        return True

    async def holder(self, name: str) -> str | None:
        lease = self._find(name)
        return lease.holder if lease is not None else None

    def is_held(self, name: str, holder: str) -> bool:
        """Say whether `holder` has the lease now."""
        lease = self._find(name)
        return lease is not None and lease.holder == holder

    def _find(self, name: str) -> _Lease | None:
        """Return a lease that has not lapsed; one that has is forgotten."""
        lease = self._leases.get(name)
        if lease is not None and lease.until <= self._clock.monotonic():
            del self._leases[name]
            return None
        return lease
