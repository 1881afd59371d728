"""Legacy sessions in memory: each record with its owner, its epoch and when it was last used."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from portside.clock import Clock
from portside.state.base import Held, life
from portside.state.memory.leases import MemoryLeases
from portside.wire.session import SessionRecord

IDLE_MS: Final = 3_600_000


@dataclass(slots=True)
class _Kept:
    record: SessionRecord
    owner: str
    epoch: int
    until: float


class MemorySessions:
    """`Sessions` of one process. `leases` say which owners live; a session unused for `idle_ms` expires."""

    def __init__(self, clock: Clock, leases: MemoryLeases, *, idle_ms: int = IDLE_MS) -> None:
        self._clock = clock
        self._leases = leases
        self._idle_s = idle_ms / 1000
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    async def create(self, record: SessionRecord, owner: str) -> int:
        self._expire()
        former = self._kept.pop(record.id, None)
        epoch = former.epoch + 1 if former is not None else 1
        self._kept[record.id] = _Kept(record, owner, epoch, self._clock.monotonic() + self._idle_s)
        return epoch

    async def load(self, id: str) -> Held | None:
        kept = self._find(id)
        return Held(kept.record, kept.owner, kept.epoch) if kept is not None else None

    async def save(self, record: SessionRecord, *, epoch: int) -> bool:
        kept = self._used(record.id, epoch)
        if kept is None:
            return False
        kept.record = record
        return True

    async def claim(self, id: str, owner: str, *, epoch: int) -> int | None:
        kept = self._find(id)
        if kept is None or kept.epoch != epoch or self._leases.is_held(life(kept.owner), kept.owner):
            return None
        kept.owner = owner
        kept.epoch += 1
        self._used(id, kept.epoch)
        return kept.epoch

    async def release(self, id: str, *, epoch: int) -> bool:
        kept = self._used(id, epoch)
        if kept is None:
            return False
        kept.owner = ""
        return True

    async def touch(self, ids: Sequence[str]) -> None:
        for id in ids:
            kept = self._find(id)
            if kept is not None:
                self._used(id, kept.epoch)

    async def remove(self, id: str) -> bool:
        self._expire()
        return self._kept.pop(id, None) is not None

    async def count(self) -> int:
        self._expire()
        return len(self._kept)

    def exists(self, id: str) -> bool:
        """Say whether there is such a session."""
        return self._find(id) is not None

    def use(self, id: str, epoch: int) -> bool:
        """Begin the time after which the session expires anew; False where it is gone or in another epoch."""
        return self._used(id, epoch) is not None

    def _used(self, id: str, epoch: int) -> _Kept | None:
        kept = self._find(id)
        if kept is None or kept.epoch != epoch:
            return None
        kept.until = self._clock.monotonic() + self._idle_s
        self._kept.move_to_end(id)
        return kept

    def _find(self, id: str) -> _Kept | None:
        kept = self._kept.get(id)
        if kept is None or kept.until > self._clock.monotonic():
            return kept
        del self._kept[id]
        return None

    def _expire(self) -> None:
        """Forget what has expired: whatever was used longest ago is in front."""
        now = self._clock.monotonic()
        while self._kept and next(iter(self._kept.values())).until <= now:
            self._kept.popitem(last=False)
