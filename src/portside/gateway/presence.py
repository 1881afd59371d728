"""This replica's life as the others see it: leased in shared state, renewed, and noticed where it lapses."""

import asyncio
import logging
from typing import Final

from portside.clock import Clock
from portside.errors import StateUnavailable
from portside.state.base import Leases, life

LIFE_MS: Final = 1200
"""How long others believe in a replica that says nothing: then what it owns may be taken over."""

RENEW_S: Final = 0.3
SEEN_S: Final = 0.15
"""How long what was found out about another replica is believed."""

MARGIN_S: Final = 0.2
"""How much earlier than everybody else a replica stops believing in itself."""

_log = logging.getLogger("portside.gateway")


class Presence:
    """The life of one replica, named by its `holder`; one without shared state lives always.

    `vouched` is the fencing token of the life that lasts, None while nobody can say whether it does: then nothing that
    this replica owned may be used before shared state has been asked whose it is. A token that changed says the same.
    """

    def __init__(self, leases: Leases, holder: str, clock: Clock, *, is_shared: bool) -> None:
        self.holder = holder
        self._leases = leases
        self._clock = clock
        self._is_shared = is_shared
        self._token: int | None = None
        self._until = float("-inf")
        self._renewing: asyncio.Task[None] | None = None
        self._watched: dict[str, tuple[float, bool]] = {}

    @property
    def vouched(self) -> int | None:
        """The token of the life that lasts now, None where there is none."""
        if not self._is_shared:
            return 0
        return self._token if self._clock.monotonic() < self._until else None

    async def open(self) -> None:
        """Begin to live. Raises StateUnavailable."""
        if self._is_shared:
            await self._renew()
            self._renewing = asyncio.create_task(self._run(), name="presence")

    async def close(self) -> None:
        """End: from here on everybody may take over what was ours. May be called twice."""
        if self._renewing is None:
            return
        self._renewing.cancel()
        await asyncio.wait([self._renewing])
        self._renewing = None
        self._until = float("-inf")
        try:
            await self._leases.release(life(self.holder), self.holder)
        except StateUnavailable as error:
            _log.warning("the others learn of this replica's end only when its lease lapses: %s", error.message)

    async def lives(self, holder: str) -> bool:
        """Say whether a replica lives, as of at most SEEN_S ago. Raises StateUnavailable."""
        if holder == self.holder:
            return True
        now = self._clock.monotonic()
        asked, found = self._watched.get(holder, (float("-inf"), False))
        if now - asked < SEEN_S:
            return found
        found = await self._leases.holder(life(holder)) is not None
        self._watched = {name: seen for name, seen in self._watched.items() if now - seen[0] < SEEN_S}
        self._watched[holder] = now, found
        return found

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                await self._renew()
            except StateUnavailable as error:
                _log.debug("this replica's life could not be renewed: %s", error.message)

    async def _renew(self) -> None:
        began = self._clock.monotonic()
        token = await self._leases.acquire(life(self.holder), self.holder, ttl_ms=LIFE_MS)
        if token is not None and token != self._token and self._token is not None:
            _log.warning("this replica's life had lapsed: what it owned is asked for again before it is used")
        self._token = token
        # Counted from before the question: the answer may have been on its way for long.
        self._until = began + LIFE_MS / 1000 - MARGIN_S
