"""The guard by itself: batches are counted by what they hold, places are given back."""

import pytest

from portside.clock import ManualClock
from portside.gateway.guard import Guard
from portside.gateway.http import Incoming
from portside.observe.record import Record
from portside.state.base import Limit
from portside.state.counters import MemoryCounters
from portside.wire import message
from portside.wire.refusal import Refusal

pytestmark = pytest.mark.anyio

LIMIT = Limit("ann", 5, 60_000, "caller")


def incoming(limit: Limit | None = LIMIT) -> Incoming:
    return Incoming("POST", {}, [], b"", Record(), principal="ann", limit=limit)


async def refusal_of(guard: Guard, size: int, limit: Limit | None = LIMIT) -> Refusal | None:
    try:
        await guard.count_batch(size, incoming(limit))
    except Refusal as refused:
        return refused
    return None


async def test_a_batch_costs_as_many_uses_as_it_holds() -> None:
    counters = MemoryCounters(ManualClock())
    guard = Guard(counters=counters, is_limited=True)
    await counters.hit((LIMIT,))
    assert await refusal_of(guard, 4) is None
    assert (await counters.hit((LIMIT,))).remaining == 0


@pytest.mark.parametrize("size", [6, 7, 100])
async def test_a_batch_that_holds_more_than_is_left_is_refused_whole(size: int) -> None:
    counters = MemoryCounters(ManualClock())
    guard = Guard(counters=counters, is_limited=True)
    await counters.hit((LIMIT,))
    refused = await refusal_of(guard, size)
    assert refused is not None
    assert (refused.code, refused.status) == (-31006, 429)
    assert (await counters.hit((LIMIT,))).remaining == 3


async def test_without_a_limit_batches_are_not_counted() -> None:
    guard = Guard(counters=MemoryCounters(ManualClock()))
    assert await refusal_of(guard, 100, None) is None


async def test_a_place_is_given_back_with_its_request() -> None:
    guard = Guard(max_calls=1)
    call = message.request(1, "tools/call", {"name": "t"})
    first = incoming()
    await guard.admit(call, first)
    with pytest.raises(Refusal, match="at most 1"):
        await guard.admit(call, incoming())
    guard.release(first)
    guard.release(first)
    await guard.admit(call, incoming())


async def test_a_guard_with_nothing_to_ask_is_idle() -> None:
    assert Guard().is_idle
    assert not Guard(is_limited=True).is_idle
    assert not Guard(max_calls=1).is_idle
