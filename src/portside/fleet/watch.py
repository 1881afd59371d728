"""Looks at `/ready` of every replica, again and again, and remembers what it said."""

import asyncio
from dataclasses import dataclass
from typing import Final

from portside.fleet import network
from portside.fleet.slot import Phase, Slot

STARTING_S: Final = 0.1
SERVING_S: Final = 0.5
_MISSES: Final = 2  # one slow answer does not make a replica unready


@dataclass(slots=True)
class _Look:
    task: asyncio.Task[bool | None] | None = None
    due: float = 0.0
    answered: float = 0.0
    misses: int = _MISSES


class Watch:
    """What the replicas' ports have said; times are the caller's, monotonic."""

    def __init__(self) -> None:
        self._looks: dict[int, _Look] = {}

    def begin(self, slot: Slot, now: float) -> None:
        """Forget what a former replica of the slot said."""
        self.forget(slot.number)
        self._looks[slot.number] = _Look(answered=now)

    def forget(self, number: int) -> None:
        """Stop looking at a slot."""
        look = self._looks.pop(number, None)
        if look is not None and look.task is not None:
            look.task.cancel()

    def look(self, slot: Slot, now: float) -> None:
        """Take in what came back, and ask again where it is time to. What serves already counts as ready at first."""
        if slot.number not in self._looks:
            self._looks[slot.number] = _Look(answered=now, misses=0 if slot.phase is Phase.SERVING else _MISSES)
        look = self._looks[slot.number]
        if look.task is not None and look.task.done():
            said = look.task.result()
            look.task = None
            look.misses = 0 if said else look.misses + 1
            look.answered = look.answered if said is None else now
        if look.task is None and now >= look.due:
            look.due = now + (STARTING_S if slot.phase is Phase.STARTING else SERVING_S)
            look.task = asyncio.create_task(network.ready(slot.port))

    def is_ready(self, number: int) -> bool:
        """Say whether the slot's replica is ready."""
        return number in self._looks and self._looks[number].misses < _MISSES

    def silent_s(self, number: int, now: float) -> float:
        """Return how long the slot's replica has not answered at all."""
        return now - self._looks[number].answered if number in self._looks else 0.0

    async def close(self) -> None:
        """End what is under way."""
        tasks = [look.task for look in self._looks.values() if look.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._looks.clear()
