"""Counting while shared counters are away."""

from collections.abc import Sequence

import pytest

from portside.clock import ManualClock
from portside.errors import StateUnavailable
from portside.state.base import Limit, Verdict
from portside.state.counters import MemoryCounters
from portside.state.degraded import DegradedCounters

pytestmark = pytest.mark.anyio


class Away:
    """Counters that nobody reaches."""

    async def hit(self, limits: Sequence[Limit], *, cost: int = 1) -> Verdict:
        raise StateUnavailable("away")


@pytest.mark.parametrize(("most", "replicas", "admitted"), [(10, 3, 3), (10, 1, 10), (2, 5, 1), (10, 0, 10)])
async def test_each_replica_admits_its_share_and_at_least_one(most: int, replicas: int, admitted: int) -> None:
    counters = DegradedCounters(Away(), MemoryCounters(ManualClock()), lambda: replicas)
    limit = Limit("k", most, 60_000)
    verdicts = [await counters.hit([limit]) for _ in range(20)]
    assert sum(verdict.is_allowed for verdict in verdicts) == admitted
    assert {verdict.limit for verdict in verdicts} == {limit}
    assert counters.is_degraded


async def test_the_verdict_names_the_limit_that_refused() -> None:
    counters = DegradedCounters(Away(), MemoryCounters(ManualClock()), lambda: 2)
    wide, tight = Limit("w", 100, 60_000, "wide"), Limit("t", 2, 60_000, "tight")
    await counters.hit([wide, tight])
    refused = await counters.hit([wide, tight])
    assert (refused.is_allowed, refused.limit) == (False, tight)


async def test_a_cost_larger_than_the_share_takes_all_of_it() -> None:
    counters = DegradedCounters(Away(), MemoryCounters(ManualClock()), lambda: 5)
    limit = Limit("k", 10, 60_000)
    assert (await counters.hit([limit], cost=8)).is_allowed
    assert not (await counters.hit([limit])).is_allowed


async def test_a_cost_that_no_window_holds_is_still_an_error() -> None:
    counters = DegradedCounters(Away(), MemoryCounters(ManualClock()), lambda: 2)
    with pytest.raises(ValueError, match="uses under"):
        await counters.hit([Limit("k", 10, 60_000)], cost=11)
