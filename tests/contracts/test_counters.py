"""What every `Counters` promises: exact sliding windows, several limits in one step."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from portside.clock import ManualClock
from portside.state.base import Limit
from portside.state.counters import MemoryCounters

pytestmark = pytest.mark.anyio

TEN_A_MINUTE = Limit("a", 10, 60_000, "minute")


async def test_no_window_holds_more_than_its_limit_wherever_it_begins() -> None:
    clock = ManualClock()
    counters = MemoryCounters(clock)
    clock.advance(59.0)
    before = [(await counters.hit([TEN_A_MINUTE])).is_allowed for _ in range(10)]
    clock.advance(2.0)  # over the edge of a calendar minute
    assert (before, (await counters.hit([TEN_A_MINUTE])).is_allowed) == ([True] * 10, False)


async def test_a_refused_use_is_not_counted() -> None:
    clock = ManualClock()
    counters = MemoryCounters(clock)
    for _ in range(500):
        await counters.hit([TEN_A_MINUTE])
    clock.advance(60.0)
    verdicts = [await counters.hit([TEN_A_MINUTE]) for _ in range(11)]
    assert [verdict.is_allowed for verdict in verdicts] == [True] * 10 + [False]


async def test_whoever_waits_as_told_is_allowed_and_not_a_millisecond_earlier() -> None:
    clock = ManualClock()
    counters = MemoryCounters(clock)
    for _ in range(10):
        await counters.hit([TEN_A_MINUTE])
        clock.advance(1.25)
    refused = await counters.hit([TEN_A_MINUTE])
    clock.advance((refused.retry_after_ms - 1) / 1000)
    early = await counters.hit([TEN_A_MINUTE])
    clock.advance(0.001)
    assert (early.is_allowed, (await counters.hit([TEN_A_MINUTE])).is_allowed) == (False, True)


async def test_several_limits_are_counted_all_or_none() -> None:
    counters = MemoryCounters(ManualClock())
    tight = Limit("tool", 2, 60_000, "tool")
    verdicts = [await counters.hit([TEN_A_MINUTE, tight]) for _ in range(5)]
    assert [verdict.is_allowed for verdict in verdicts] == [True, True, False, False, False]
    assert verdicts[2].limit == tight
    alone = await counters.hit([TEN_A_MINUTE])
    assert alone.remaining == 7


async def test_the_verdict_tells_of_the_limit_nearest_to_its_end() -> None:
    counters = MemoryCounters(ManualClock())
    wide = Limit("b", 1000, 1000, "wide")
    verdict = await counters.hit([wide, TEN_A_MINUTE])
    assert (verdict.limit, verdict.remaining, verdict.reset_ms) == (TEN_A_MINUTE, 9, 60_000)


async def test_keys_do_not_share() -> None:
    counters = MemoryCounters(ManualClock())
    for _ in range(10):
        await counters.hit([TEN_A_MINUTE])
    assert (await counters.hit([Limit("b", 10, 60_000)])).is_allowed


async def test_a_cost_is_counted_whole_or_not_at_all() -> None:
    counters = MemoryCounters(ManualClock())
    assert (await counters.hit([TEN_A_MINUTE], cost=7)).remaining == 3
    assert not (await counters.hit([TEN_A_MINUTE], cost=4)).is_allowed
    assert (await counters.hit([TEN_A_MINUTE], cost=3)).is_allowed


@pytest.mark.parametrize(("limits", "cost"), [([], 1), ([TEN_A_MINUTE], 11), ([TEN_A_MINUTE], 0)])
async def test_what_no_window_could_hold_is_an_error(limits: list[Limit], cost: int) -> None:
    with pytest.raises(ValueError, match="uses under"):
        await MemoryCounters(ManualClock()).hit(limits, cost=cost)


@hypothesis_settings(deadline=None)
@given(
    most=st.integers(1, 8),
    steps=st.lists(st.integers(0, 900).map(lambda ms: ms / 1000), max_size=120),
)
async def test_uses_equal_a_plain_list_of_times(most: int, steps: list[float]) -> None:
    clock = ManualClock(0.0)
    counters, limit = MemoryCounters(clock), Limit("k", most, 1000)
    admitted: list[int] = []
    for step in steps:
        clock.advance(step)
        now = round(clock.monotonic() * 1000)
        live = [at for at in admitted if at > now - 1000]
        verdict = await counters.hit([limit])
        assert verdict.is_allowed == (len(live) < most)
        if verdict.is_allowed:
            admitted.append(now)
            assert verdict.remaining == most - len(live) - 1


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
        await counters.hit([TEN_A_MINUTE])
    flood = [await counters.hit([Limit(f"made-up {number}", 10, 60_000, "minute")]) for number in range(1000)]
    assert len(counters) <= 101
    assert sum(verdict.is_allowed for verdict in flood) == 99 + 10
    assert not (await counters.hit([TEN_A_MINUTE])).is_allowed
