"""What this process shares with its replicas, as the settings say: found wrong at once, opened behind the socket."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

from portside.clock import Clock
from portside.errors import Problem, SettingsInvalid, StateUnavailable
from portside.observe import health
from portside.settings.model import Settings
from portside.settings.sources import Loaded
from portside.state.base import Counters, Limit, Verdict
from portside.state.bounds import Bounds
from portside.state.connect import State, memory_state, redis_state
from portside.state.counters import MemoryCounters
from portside.state.degraded import DegradedCounters
from portside.state.redis import address

_IDLE_MARGIN_MS: Final = 120_000
_REACH_S: Final = 0.2


class Shared:
    """State in memory, or on Redis where that is set. Raises SettingsInvalid for a URL that makes no sense.

    `counters` may be used at once: until shared ones answer, limits are counted here. `waiting_for` says why `open`
    still waits.
    """

    def __init__(self, loaded: Loaded, clock: Clock) -> None:
        self._settings = loaded.settings
        self._clock = clock
        self._state: State | None = None
        self._degraded: DegradedCounters | None = None
        self.waiting_for = ""
        self.counters: Counters = MemoryCounters(clock)
        if self._settings.redis_url is not None:
            self._url = _checked(self._settings.redis_url.reveal().decode(), loaded.origins["redis_url"])
            self._degraded = DegradedCounters(_Late(self), self.counters, lambda: self._settings.replicas)
            self.counters = self._degraded

    @property
    def state(self) -> State:
        """All of it, once it is open. Raises StateUnavailable before."""
        if self._state is None:
            raise StateUnavailable("shared state is not open yet")
        return self._state

    @property
    def are_limits_degraded(self) -> bool:
        """Whether this replica counts limits on its own, since shared counters are away."""
        return self._degraded is not None and self._degraded.is_degraded

    def checks(self) -> list[health.Check]:
        """Return the health check of Redis, where it is in use.

        Not critical: without it, what needs no session goes on, and a replica taken out would serve nobody.
        """
        return [] if self._degraded is None else [health.Check("redis", self._probe, is_critical=False)]

    async def open(self, stack: AsyncExitStack) -> None:
        """Open it until `stack` closes; a server that cannot be reached is waited for. Raises StartFailed."""
        settings = self._settings
        if self._degraded is None:
            self._state = await stack.enter_async_context(memory_state(self._clock, _bounds(settings)))
            return
        opened = redis_state(
            self._url,
            settings.redis_password,
            [key.reveal() for key in settings.encryption_keys],
            bounds=_bounds(settings),
            prefix=settings.redis_prefix,
            deadline_ms=settings.redis_timeout_ms,
        )
        state = await stack.enter_async_context(opened)
        await self._reach(state)
        self._state = state

    async def _reach(self, state: State) -> None:
        while True:
            try:
                await state.ping()
            except StateUnavailable as error:
                self.waiting_for = error.message
                await asyncio.sleep(_REACH_S)
            else:
                self.waiting_for = ""
                return

    async def _probe(self) -> health.Finding:
        limits = "each replica on its own" if self.are_limits_degraded else "shared"
        try:
            await self.state.ping()
        except StateUnavailable as error:
            return health.Finding("unhealthy", {"error": error.message, "limits": limits})
        return health.Finding("healthy", {"limits": limits})


class _Late:
    """The counters of state that may not be open yet: requests are counted before everything is."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def hit(self, limits: Sequence[Limit], *, cost: int = 1) -> Verdict:
        return await self._shared.state.counters.hit(limits, cost=cost)


def _checked(url: str, origin: str) -> str:
    try:
        address.parse(url)
    except ValueError as error:
        raise SettingsInvalid((Problem("PORTSIDE_REDIS_URL", str(error), origin),)) from error
    return url


def _bounds(settings: Settings) -> Bounds:
    return Bounds(
        # Expiring is for sessions nobody ends: their replica does that, and says so, some sweeps earlier.
        idle_ms=settings.session_idle_ms + _IDLE_MARGIN_MS,
        max_events=settings.max_stream_events,
        max_event_bytes=settings.max_stream_bytes,
    )
