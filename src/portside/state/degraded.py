"""Counting that goes on while shared counters are away."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec

from portside.errors import StateUnavailable
from portside.state.base import Counters, Limit, Verdict

_log = logging.getLogger("portside.state")


class DegradedCounters:
    """`Counters` that are `shared` while those answer, and otherwise `local` ones with a share of each limit.

    `share` returns how many replicas there are: each admits its part, at least one use, so that together they admit
    about the limit. A verdict tells of the limit as it was asked for, with what is left of the share. `is_degraded`
    says how the last use was counted.
    """

    def __init__(self, shared: Counters, local: Counters, share: Callable[[], int]) -> None:
        self._shared = shared
        self._local = local
        self._share = share
        self.is_degraded = False

    async def hit(self, limits: Sequence[Limit], *, cost: int = 1) -> Verdict:
        try:
            verdict = await self._shared.hit(limits, cost=cost)
        except StateUnavailable as error:
            self._note(True, error.message)
            return await self._hit_locally(limits, cost)
        self._note(False, "")
        return verdict

    async def _hit_locally(self, limits: Sequence[Limit], cost: int) -> Verdict:
        if not limits or not 1 <= cost <= min(limit.most for limit in limits):
            raise ValueError(f"{cost} uses under {len(limits)} limits: expected 1 to the smallest of them")
        replicas = max(1, self._share())
        # A cost that the share cannot hold counts as all of it.
        shares = [replace(limit, most=max(1, limit.most // replicas)) for limit in limits]
        verdict = await self._local.hit(shares, cost=min(cost, *(share.most for share in shares)))
        return msgspec.structs.replace(verdict, limit=limits[shares.index(verdict.limit)])

    def _note(self, is_degraded: bool, why: str) -> None:
        if is_degraded and not self.is_degraded:
            _log.warning("limits are counted by each replica on its own: %s", why)
        elif self.is_degraded and not is_degraded:
            _log.warning("limits are counted by all replicas together again")
        self.is_degraded = is_degraded
