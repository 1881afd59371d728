"""The one way to shared state: opened together, closed for certain."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from portside.clock import Clock
from portside.errors import StartFailed
from portside.secret import Secret
from portside.state.bounds import Bounds
from portside.state.counters import MemoryCounters
from portside.state.memory.leases import MemoryLeases
from portside.state.memory.ledger import MemoryLedger
from portside.state.memory.mailbox import MemoryMailbox
from portside.state.memory.news import MemoryNews
from portside.state.memory.sessions import MemorySessions
from portside.state.memory.streams import MemoryStreams
from portside.state.parts import State

__all__ = ["DEADLINE_MS", "PREFIX", "State", "memory_state", "redis_state"]

PREFIX: Final = "portside"
DEADLINE_MS: Final = 500


@asynccontextmanager
async def memory_state(clock: Clock, bounds: Bounds | None = None) -> AsyncGenerator[State]:
    """Keep state in this process for the block; several replicas of one process may share it."""
    bounds = bounds or Bounds()
    leases = MemoryLeases(clock)
    sessions = MemorySessions(clock, leases, idle_ms=bounds.idle_ms)
    yield State(
        sessions=sessions,
        streams=MemoryStreams(sessions, max_events=bounds.max_events, max_bytes=bounds.max_event_bytes),
        counters=MemoryCounters(clock, max_keys=bounds.max_keys),
        leases=leases,
        mailbox=MemoryMailbox(clock, max_letters=bounds.max_letters, max_bytes=bounds.max_letter_bytes),
        news=MemoryNews(max_kept=bounds.max_news),
        ledger=MemoryLedger(clock, max_entries=bounds.max_entries),
        is_shared=False,
        ping=_here,
    )


@asynccontextmanager
async def redis_state(
    url: str,
    password: Secret | None,
    secrets: Sequence[bytes],
    *,
    bounds: Bounds | None = None,
    prefix: str = PREFIX,
    deadline_ms: int = DEADLINE_MS,
) -> AsyncGenerator[State]:
    """Share state on Redis for the block.

    Opening waits for nothing: whether the server answers is for `ping` to say. `url` as in docs/state.md; `password`
    wins over the one in it. `secrets` seal what is stored, the first one seals, every one opens. `deadline_ms` is what
    one command may take. Raises ValueError for a URL that makes no sense or no secrets, StartFailed where the client is
    not installed.
    """
    try:
        from portside.state.redis.opened import opened  # the client is an extra
    except ImportError as error:
        raise StartFailed("state on Redis needs its client", hint="pip install 'portside[redis]'") from error

    async with opened(url, password, secrets, bounds or Bounds(), prefix=prefix, deadline_ms=deadline_ms) as state:
        yield state


async def _here() -> None:
    """Return: the memory of this process always answers."""
