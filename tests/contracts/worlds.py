"""Where the suites of shared state run: in memory under a clock turned by hand, and on a real Redis in its own time."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from portside.clock import ManualClock
from portside.state.bounds import Bounds
from portside.state.connect import State, memory_state, redis_state
from tests.redis_servers import RedisServer

SECRETS: Final = (b"k" * 32,)


@dataclass(frozen=True, slots=True)
class World:
    """One store as two replicas see it.

    `elapse(ms)` returns once the store's clock has moved on by that much; `age(ms)` makes all uses counted so far that
    much older. `drift_ms` is what the store's clock may move on by itself within a test.
    """

    here: State
    there: State
    elapse: Callable[[float], Awaitable[None]]
    age: Callable[[float], Awaitable[None]]
    drift_ms: int


class Open(Protocol):
    """Opens an empty world with the bounds a test wants."""

    def __call__(self, bounds: Bounds | None = None) -> AbstractAsyncContextManager[World]: ...


@asynccontextmanager
async def in_memory(bounds: Bounds | None = None) -> AsyncGenerator[World]:
    """Two replicas of one process."""
    clock = ManualClock()

    async def advance(ms: float) -> None:
        clock.advance(ms / 1000)

    async with memory_state(clock, bounds) as state:
        yield World(state, state, advance, advance, 0)


def on_redis(server: RedisServer) -> Open:
    """Return what opens two replicas on a server that is emptied first."""

    @asynccontextmanager
    async def open_world(bounds: Bounds | None = None) -> AsyncGenerator[World]:
        await server.command("FLUSHALL")
        async with (
            redis_state(server.url, server.password, SECRETS, bounds=bounds, deadline_ms=10_000) as here,
            redis_state(server.url, server.password, SECRETS, bounds=bounds, deadline_ms=10_000) as there,
        ):
            yield World(here, there, server.elapse, server.age, 30_000)

    return open_world
