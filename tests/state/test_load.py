"""Three replicas that count together on one Redis, under more than they may admit; and what counting costs there."""

import asyncio
from contextlib import AsyncExitStack
from typing import Final, cast

import pytest

from portside.state.base import Limit
from portside.state.connect import State, redis_state
from tests.redis_servers import RedisServer

pytestmark = pytest.mark.anyio

SECRETS: Final = (b"k" * 32,)
LIMIT: Final = Limit("shared", 600, 3_600_000)


async def admitted(state: State, uses: int) -> int:
    return sum([(await state.counters.hit([LIMIT])).is_allowed for _ in range(uses)])


async def test_three_replicas_under_ten_times_the_load_admit_the_limit_exactly(redis: RedisServer) -> None:
    """Less than the limit would be 99.9 % at best; more than it would be a limit that is none."""
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(redis_state(redis.url, redis.password, SECRETS)) for _ in range(3)]
        counts = await asyncio.gather(*(admitted(replica, 200) for replica in replicas for _ in range(10)))
    assert sum(counts) == LIMIT.most


async def test_a_use_costs_eleven_bytes(redis: RedisServer) -> None:
    limit = Limit("large", 100_000, 3_600_000)
    async with redis_state(redis.url, redis.password, SECRETS) as state:
        for _ in range(10):
            await state.counters.hit([limit], cost=10_000)
        assert not (await state.counters.hit([limit])).is_allowed
    (key,) = cast("list[bytes]", await redis.command("KEYS", "*:count:*"))
    assert cast("int", await redis.command("MEMORY", "USAGE", key, "SAMPLES", "0")) < 12 * limit.most


async def test_a_full_window_that_ends_makes_room_in_one_step(redis: RedisServer) -> None:
    limit = Limit("large", 100_000, 3_600_000)
    async with redis_state(redis.url, redis.password, SECRETS) as state:
        for _ in range(10):
            await state.counters.hit([limit], cost=10_000)
        await redis.age(limit.window_ms - 60_000)
        assert not (await state.counters.hit([limit])).is_allowed
        await redis.age(60_000)
        assert (await state.counters.hit([limit], cost=10_000)).remaining == 90_000
