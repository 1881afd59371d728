"""An issuer's keys, fetched over the network: fresh enough, seldom enough, and never older than said."""

import asyncio
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from portside.auth import jwk
from portside.auth.discovery import Locate
from portside.auth.fetch import Fetch
from portside.auth.jwk import VerifyKey
from portside.auth.keyring import HeldKey
from portside.auth.refused import FetchFailed, IdentityUnavailable, KeysUnusable
from portside.clock import Clock

MAX_TRIED: Final = 4
"""Keys a token without a key id is tried against: each costs a verification, and forged ones are free."""

_Name = tuple[str | None, str, frozenset[str]]
"""What makes a key the same one as before: also what it may verify, lest that changes unseen."""

_log = logging.getLogger("portside.auth")


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old keys may be, in seconds.

    `refresh_s`: between two fetches when nothing else happens. `min_interval_s`: the least time between two fetches,
    whoever asks; an issuer that announces a key so long before its first use sees no token refused. `max_stale_s`:
    after so long without a successful fetch nobody gets in. `grace_s`: how long a key counts after it disappeared,
    since an issuer's own replicas may disagree for a moment.
    """

    refresh_s: float = 300.0
    min_interval_s: float = 30.0
    max_stale_s: float = 3600.0
    grace_s: float = 60.0
    deadline_s: float = 15.0


class RemoteKeys:
    """The keys of one issuer. Satisfies `Keys`; `run` keeps them fresh in the background, `close` ends what runs."""

    def __init__(
        self, issuer: str, locate: Locate, fetch: Fetch, clock: Clock, freshness: Freshness | None = None
    ) -> None:
        self._issuer = issuer
        self._locate = locate
        self._fetch = fetch
        self._clock = clock
        self._freshness = freshness or Freshness()
        self._url: str | None = None
        self._held: dict[_Name, HeldKey] = {}
        self._left_out: tuple[str, ...] = ()
        self._fresh_until = -math.inf
        self._last_attempt = -math.inf
        self._loading: asyncio.Task[None] | None = None
        self.failure: str | None = "not fetched yet"

    def __repr__(self) -> str:
        return f"<RemoteKeys {self._issuer} keys={len(self._held)} failure={self.failure!r}>"

    @property
    def is_usable(self) -> bool:
        """Whether tokens can be judged now: the keys are there, and not too old."""
        return self._clock.monotonic() < self._fresh_until

    async def candidates(self, algorithm: str, key_id: str | None) -> Sequence[HeldKey]:
        if algorithm not in jwk.ALGORITHMS:
            return ()
        found = self._matching(algorithm, key_id) if self.is_usable else ()
        if found:
            return found
        await self.refresh()
        if not self.is_usable:
            raise IdentityUnavailable(f"the keys of {self._issuer!r} cannot be had: {self.failure}")
        return self._matching(algorithm, key_id)

    async def refresh(self) -> None:
        """Fetch the keys, unless that was tried less than `min_interval_s` ago; never raises what a fetch does.

        Whoever calls while a fetch is under way waits for that one. Since calls wait on connections of their own,
        their number is bounded by that of connections.
        """
        if self._loading is None:
            if self._clock.monotonic() - self._last_attempt < self._freshness.min_interval_s:
                return
            self._last_attempt = self._clock.monotonic()
            self._loading = asyncio.create_task(self._load(), name="load-keys")
            self._loading.add_done_callback(self._loaded)
        # One caller who leaves must not take the keys from all the others.
        await asyncio.shield(self._loading)

    async def run(self) -> None:
        """Keep the keys fresh until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(max(self._freshness.refresh_s, self._freshness.min_interval_s))

    async def close(self) -> None:
        """End a fetch under way."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait([self._loading])

    def _matching(self, algorithm: str, key_id: str | None) -> Sequence[HeldKey]:
        now = self._clock.monotonic()
        found = [one for one in self._held.values() if algorithm in one.key.algorithms and now < one.usable_until]
        if key_id is None:
            return found if len(found) <= MAX_TRIED else ()
        # Two keys of one id are both tried: an id is the issuer's to choose, and proves nothing.
        return [one for one in found if one.key.id == key_id][:MAX_TRIED]

    def _loaded(self, task: "asyncio.Task[None]") -> None:
        self._loading = None
        if not task.cancelled():
            task.exception()  # told to whoever waits; with nobody left there is nobody to tell

    async def _load(self) -> None:
        try:
            async with asyncio.timeout(self._freshness.deadline_s):
                keys = await self._read()
        except TimeoutError:
            self._failed(f"no answer within {self._freshness.deadline_s:g} s")
        except (FetchFailed, KeysUnusable) as error:
            self._failed(error.message)
        else:
            self.failure = None
            self._take(keys)

    async def _read(self) -> tuple[VerifyKey, ...]:
        if self._url is None:
            self._url = await self._locate(self._fetch)
        keys, left_out = jwk.parse_set(await self._fetch(self._url))
        if left_out != self._left_out:
            self._left_out = left_out
            _log.warning("auth.keys_left_out", extra={"portside": {"issuer": self._issuer, "keys": list(left_out)}})
        return keys

    def _failed(self, why: str) -> None:
        self.failure = why
        self._url = None  # the issuer may have moved its keys: ask it again
        _log.warning("auth.keys_not_fetched", extra={"portside": {"issuer": self._issuer, "reason": why}})

    def _take(self, keys: Sequence[VerifyKey]) -> None:
        """Hold what is published; let go, after the grace, of what is not any more."""
        now = self._clock.monotonic()
        self._fresh_until = now + self._freshness.max_stale_s
        held: dict[_Name, HeldKey] = {}
        for key in keys:
            name = (key.id, key.print, key.algorithms)
            one = held[name] = self._held.get(name) or HeldKey(key)
            one.usable_until = self._fresh_until
        for name, one in self._held.items():
            if name in held:
                continue
            one.usable_until = min(one.usable_until, now + self._freshness.grace_s)
            if now < one.usable_until:
                held[name] = one
        self._held = held
