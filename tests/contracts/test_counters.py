"""What every `Counters` promises: exact sliding windows, several limits in one step.

Redis counts in its own time, which no test can turn: there, what was counted is made older instead. Its clock still
moves on by itself, so windows are long here, and `drift_ms` is what a reading may be off.
"""

import asyncio
import itertools

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from portside.clock import ManualClock
from portside.state.base import Limit, Verdict
from portside.state.counters import MemoryCounters
from tests.contracts.worlds import Open, World

pytestmark = pytest.mark.anyio

HOUR = 3_600_000
TEN_AN_HOUR = Limit("a", 10, HOUR, "hour")


async def hits(world: World, count: int, limit: Limit = TEN_AN_HOUR) -> list[bool]:
    """Use a limit so often, by turns on either replica, and say which uses were allowed."""
    replicas = itertools.cycle((world.here, world.there))
    return [(await next(replicas).counters.hit([limit])).is_allowed for _ in range(count)]


async def test_no_window_holds_more_than_its_limit_wherever_it_begins(opened: Open) -> None:
    async with opened() as world:
        await world.age(HOUR * 59 / 60)
        before = await hits(world, 10)
        await world.age(HOUR * 2 / 60)  # over the edge of a calendar hour
        assert (before, await hits(world, 1)) == ([True] * 10, [False])


async def test_a_refused_use_is_not_counted(opened: Open) -> None:
    async with opened() as world:
        await hits(world, 500)
        await world.age(HOUR)
        assert await hits(world, 11) == [True] * 10 + [False]


async def test_whoever_waits_as_told_is_allowed_and_not_earlier(opened: Open) -> None:
    async with opened() as world:
        for _ in range(10):
            await hits(world, 1)
            await world.age(HOUR / 48)
        refused = await world.there.counters.hit([TEN_AN_HOUR])
        early = max(1, world.drift_ms)
        await world.age(refused.retry_after_ms - early)
        assert await hits(world, 1) == [False]
        await world.age(early)
        assert await hits(world, 2) == [True, False]


async def test_the_verdicts_times_are_those_of_the_oldest_use_that_counts(opened: Open) -> None:
    async with opened() as world:
        await hits(world, 4)
        await world.age(HOUR / 4)
        await hits(world, 5)
        allowed = await world.here.counters.hit([TEN_AN_HOUR])
        refused = await world.here.counters.hit([TEN_AN_HOUR])
        for verdict in (allowed, refused):
            assert HOUR * 3 / 4 - world.drift_ms <= verdict.reset_ms <= HOUR * 3 / 4
        assert (allowed.remaining, allowed.retry_after_ms) == (0, 0)
        assert (refused.remaining, refused.is_allowed) == (0, False)
        assert refused.retry_after_ms == refused.reset_ms


async def test_several_limits_are_counted_all_or_none(opened: Open) -> None:
    async with opened() as world:
        tight = Limit("tool", 2, HOUR, "tool")
        verdicts = [await world.here.counters.hit([TEN_AN_HOUR, tight]) for _ in range(5)]
        assert [verdict.is_allowed for verdict in verdicts] == [True, True, False, False, False]
        assert verdicts[2].limit == tight
        alone = await world.there.counters.hit([TEN_AN_HOUR])
        assert alone.remaining == 7


async def test_the_verdict_tells_of_the_limit_nearest_to_its_end(opened: Open) -> None:
    async with opened() as world:
        wide = Limit("b", 1000, HOUR, "wide")
        verdict = await world.here.counters.hit([wide, TEN_AN_HOUR])
        assert verdict == Verdict(True, TEN_AN_HOUR, 9, HOUR)


async def test_keys_do_not_share(opened: Open) -> None:
    async with opened() as world:
        await hits(world, 10)
        assert await hits(world, 1, Limit("b", 10, HOUR)) == [True]


async def test_a_cost_is_counted_whole_or_not_at_all(opened: Open) -> None:
    async with opened() as world:
        assert (await world.here.counters.hit([TEN_AN_HOUR], cost=7)).remaining == 3
        assert not (await world.there.counters.hit([TEN_AN_HOUR], cost=4)).is_allowed
        assert (await world.here.counters.hit([TEN_AN_HOUR], cost=3)).is_allowed


async def test_what_is_left_for_a_smaller_cost_is_told_with_a_refusal(opened: Open) -> None:
    async with opened() as world:
        await world.here.counters.hit([TEN_AN_HOUR], cost=7)
        assert (await world.there.counters.hit([TEN_AN_HOUR], cost=4)).remaining == 3


async def test_a_large_cost_is_counted(opened: Open) -> None:
    async with opened() as world:
        limit = Limit("large", 2500, HOUR)
        assert (await world.here.counters.hit([limit], cost=2400)).remaining == 100
        assert await hits(world, 101, limit) == [True] * 100 + [False]


@pytest.mark.parametrize(("limits", "cost"), [([], 1), ([TEN_AN_HOUR], 11), ([TEN_AN_HOUR], 0)])
async def test_what_no_window_could_hold_is_an_error(opened: Open, limits: list[Limit], cost: int) -> None:
    async with opened() as world:
        with pytest.raises(ValueError, match="uses under"):
            await world.here.counters.hit(limits, cost=cost)


@hypothesis_settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    most=st.integers(1, 8),
    steps=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 3)), max_size=40),
)
async def test_uses_equal_a_plain_list_of_times(opened: Open, most: int, steps: list[tuple[int, int]]) -> None:
    """Minutes pass between uses of an hour's limit: more than any drift."""
    async with opened() as world:
        limit, now = Limit("k", most, HOUR), 0
        admitted: list[int] = []
        for minutes, cost in steps:
            await world.age(minutes * 60_000)
            now += minutes
            live = [at for at in admitted if at > now - 60]
            if cost > most:
                continue
            verdict = await world.here.counters.hit([limit], cost=cost)
            assert verdict.is_allowed == (len(live) + cost <= most)
            if verdict.is_allowed:
                admitted += [now] * cost
                assert verdict.remaining == most - len(live) - cost


async def test_replicas_together_admit_the_limit_and_not_one_more(opened: Open) -> None:
    """Ten times the limit is asked for, at once, from both sides."""
    async with opened() as world:
        limit = Limit("shared", 500, HOUR)
        admitted = await asyncio.gather(*(hits(world, 50, limit) for _ in range(100)))
        assert sum(map(sum, admitted)) == 500


async def test_keys_out_of_their_window_are_dropped_as_others_are_used() -> None:
    clock = ManualClock()
    counters = MemoryCounters(clock)
    for number in range(1000):
        await counters.hit([Limit(str(number), 5, 1000)])
    clock.advance(2.0)
    for _ in range(600):
        await counters.hit([Limit("x", 1000, 1000)])
    assert len(counters) == 1


async def test_a_flood_of_keys_neither_fills_memory_nor_pushes_out_a_key_in_use() -> None:
    counters = MemoryCounters(ManualClock(), max_keys=100)
    for _ in range(10):
        await counters.hit([TEN_AN_HOUR])
    flood = [await counters.hit([Limit(f"made-up {number}", 10, HOUR, "hour")]) for number in range(1000)]
    assert len(counters) <= 101
    assert sum(verdict.is_allowed for verdict in flood) == 99 + 10
    assert not (await counters.hit([TEN_AN_HOUR])).is_allowed
