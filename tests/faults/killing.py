"""Replicas that are killed one after another while clients talk to them, and started again at once."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.faults.effects import Effects
from tests.faults.replicas import Cluster


@dataclass(frozen=True, slots=True)
class Life:
    """One process: its `SERVER_ID` and its pid."""

    replica: str
    pid: int


class Runs:
    """Where each call runs, by its id, as the tools themselves have put it down; reads on where it stopped."""

    def __init__(self, effects: Effects) -> None:
        self._file = effects.file
        self._read = 0
        self._where: dict[str, Life] = {}

    def where(self) -> dict[str, Life]:
        """Return the process in which each call was begun last."""
        if not self._file.exists():
            return self._where
        with self._file.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            _, id, replica, pid, _ = json.loads(line)
            self._where[str(id)] = Life(str(replica), int(pid))
        return self._where


class Kills:
    """Kills replicas of a cluster. `count` are the processes that were ended by `kill -9`, one each."""

    def __init__(self, cluster: Cluster, seed: int = 7) -> None:
        self.count = 0
        self.chance = random.Random(seed)
        self._cluster = cluster
        self._starting: dict[int, asyncio.Task[None]] = {}

    def ready(self) -> Sequence[int]:
        """Return the replicas that are ready."""
        return [index for index in range(len(self._cluster.replicas)) if index not in self._starting]

    def life(self, index: int) -> Life:
        """Return the process that a replica is now."""
        replica = self._cluster.replicas[index]
        return Life(replica.name, replica.process.pid)

    async def kill(self, index: int) -> None:
        """End one replica at once and begin to start it again."""
        await self._cluster.kill(index)
        self.count += 1
        self._starting[index] = asyncio.create_task(self._start(index))

    async def several(self, count: int) -> None:
        """Return once so many replicas are ready. Raises ServerFailed where one does not become so."""
        while len(self.ready()) < count:
            ended, _ = await asyncio.wait(list(self._starting.values()), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.gather(*ended)

    async def close(self) -> None:
        """Return once nothing is being started any more, whether it could be or not."""
        if self._starting:
            await asyncio.wait(list(self._starting.values()))

    async def _start(self, index: int) -> None:
        await self._cluster.restart(index)
        del self._starting[index]  # one that failed stays, for `several` to raise what happened


@asynccontextmanager
async def killing(cluster: Cluster, seed: int = 7) -> AsyncGenerator[Kills]:
    """Kill replicas of a cluster in the block, at random, the same in every run; no start is under way after it."""
    kills = Kills(cluster, seed)
    try:
        yield kills
    finally:
        await kills.close()


def times(name: str, seconds: Sequence[float]) -> str:
    """Return a line of figures: how many, and the 50th, 99th and last of them in order."""
    p50, p99, last = (at(seconds, share) for share in (0.5, 0.99, 1.0))
    return f"{name}: {len(seconds)}, p50 {p50:.2f} s, p99 {p99:.2f} s, max {last:.2f} s"


def at(seconds: Sequence[float], share: float) -> float:
    """Return the value that a share of all values does not exceed; 0 of none."""
    ordered = sorted(seconds)
    return ordered[max(0, -(-len(ordered) * round(share * 1000) // 1000) - 1)] if ordered else 0.0
