"""This replica's life as the others see it: leased in shared state, renewed, and noticed where it lapses."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

from portside.clock import Clock
from portside.errors import StateUnavailable
from portside.gateway.heart import Heart
from portside.state.base import Leases, life

LIFE_MS: Final = 1200
"""How long others believe in a replica that says nothing: then what it owns may be taken over."""

RENEW_S: Final = 0.3
SEEN_S: Final = 0.15
"""How long what was found out about another replica is believed."""

MARGIN_S: Final = 0.2
"""How much earlier than everybody else a replica stops believing in itself."""

DOUBT_S: Final = 1.5
"""How long after this replica was cut off itself nobody else counts as gone: where all were, all come back one by one,
each within a probe, its deadline and a renewal."""

_log = logging.getLogger("portside.gateway")


class Presence:
    """The life of one replica, named by its `holder`; one without shared state lives always.

    `vouched` numbers the lives of this replica: None while nobody can say whether the last one lasts, another number
    once it lapsed, or was not renewed in time. Then nothing that this replica owned may be used before shared state has
    been asked whose it is: it may have gone on elsewhere, or be forgotten.
    """

    def __init__(
        self,
        leases: Leases,
        holder: str,
        clock: Clock,
        *,
        is_shared: bool,
        apart: Callable[[], AbstractAsyncContextManager[Leases]] | None = None,
    ) -> None:
        self.holder = holder
        self._leases = leases
        self._clock = clock
        self._is_shared = is_shared
        self._token: int | None = None
        # Number and end in one: the heart's thread replaces them while the loop reads.
        self._life: tuple[int | None, float] = None, float("-inf")
        self._renewing: asyncio.Task[None] | None = None
        self._heart = Heart(apart, self._beat, clock, every_s=RENEW_S) if apart is not None else None
        self._watched: dict[str, tuple[float, bool]] = {}
        self._was_away = False
        self._doubts_until = float("-inf")
        self.returns = 0
        """How often this replica was cut off and is back: letters to it and from it may have been lost."""

    @property
    def vouched(self) -> int | None:
        """The number of the life that lasts now, None where there is none."""
        if not self._is_shared:
            return 0
        number, until = self._life
        return number if self._clock.monotonic() < until else None

    async def open(self) -> None:
        """Begin to live. Raises StateUnavailable."""
        if not self._is_shared:
            return
        await self._renew(self._leases)
        if self._heart is not None:
            self._heart.open()
        else:
            self._renewing = asyncio.create_task(self._run(), name="presence")

    async def close(self) -> None:
        """End: from here on everybody may take over what was ours. May be called twice."""
        if not self._is_shared:
            return
        if self._heart is not None:
            await self._heart.close()
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
        self._life = None, float("-inf")
        try:
            await self._leases.release(life(self.holder), self.holder)
        except StateUnavailable as error:
            _log.warning("the others learn of this replica's end only when its lease lapses: %s", error.message)

    async def lives(self, holder: str) -> bool:
        """Say whether a replica lives, as of at most SEEN_S ago.

        Raises StateUnavailable, also while it cannot be told: whoever was cut off with the others must not take over
        from those that come back a little later.
        """
        if holder == self.holder:
            return True
        now = self._clock.monotonic()
        asked, found = self._watched.get(holder, (float("-inf"), False))
        if now - asked < SEEN_S:
            return found
        found = await self._leases.holder(life(holder)) is not None
        if not found and (self.vouched is None or self._clock.monotonic() < self._doubts_until):
            raise StateUnavailable("state was away a moment ago: whether another replica lives cannot be told yet")
        self._watched = {name: seen for name, seen in self._watched.items() if now - seen[0] < SEEN_S}
        self._watched[holder] = now, found
        return found

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            await self._beat(self._leases)

    async def _beat(self, leases: Leases) -> None:
        try:
            await self._renew(leases)
        except StateUnavailable as error:
            self._was_away = True
            _log.debug("this replica's life could not be renewed: %s", error.message)

    async def _renew(self, leases: Leases) -> None:
        began, former = self._clock.monotonic(), self._token
        token = await leases.acquire(life(self.holder), self.holder, ttl_ms=LIFE_MS)
        if token is not None and former is not None and token != former:
            _log.warning("this replica's life had lapsed: what it owned is asked for again before it is used")
            self._was_away = True
        if self._was_away:
            self._was_away = False
            self._doubts_until = self._clock.monotonic() + DOUBT_S
            self.returns += 1
        self._token = token
        # Counted from before the question: the answer may have been on its way for long.
        self._life = None if token is None else self.returns, began + LIFE_MS / 1000 - MARGIN_S
