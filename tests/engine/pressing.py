"""A steady load on a deployment's front door: of each call, when it began and ended, and whether it was answered."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from tests.engine.deployments import Deployment
from tests.faults.wire import Connections
from tests.protected.made import call

PATIENCE_S: Final = 20.0
"""How long an answer is waited for: a call at a replica that stands still may be as long on its way."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call; times of the event loop's clock. `why` says what came instead of an answer."""

    began: float
    ended: float
    why: str | None


@dataclass
class Pressing:
    """So many callers, each calling again and again without a pause, until told to stop."""

    deployment: Deployment
    callers: int
    calls: list[Call] = field(default_factory=list[Call])
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    async def __aenter__(self) -> "Pressing":
        self._tasks = [asyncio.create_task(self._press(number)) for number in range(self.callers)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping.set()
        await asyncio.gather(*self._tasks)

    @property
    def failed(self) -> list[Call]:
        """The calls that were not answered."""
        return [one for one in self.calls if one.why is not None]

    async def _press(self, number: int) -> None:
        way, loop, asked = Connections(self.deployment.port, self.deployment.trusting), asyncio.get_running_loop(), 0
        host = f"localhost:{self.deployment.port}"
        try:
            while not self._stopping.is_set():
                asked += 1
                id, began = f"{number}-{asked}", loop.time()
                request = call("search_notes", {"query": "failover"}, token=self.deployment.token, id=id, host=host)
                got = await way.ask(request, timeout_s=PATIENCE_S)
                why = None
                if got is None or got.status != 200 or f'"id":"{id}"'.encode() not in got.body:
                    why = "no connection" if got is None else f"HTTP {got.status}: {got.body[:200]!r}"
                self.calls.append(Call(began, loop.time(), why))
                await asyncio.sleep(0.02)  # a steady load, and no more of it than two cores carry
        finally:
            way.close()
