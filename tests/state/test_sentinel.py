"""A failover under Sentinel, with real processes: a master, a replica, three sentinels."""

import asyncio
from collections.abc import Generator
from typing import Final

import anyio
import pytest

from portside.errors import StateUnavailable
from portside.state.connect import State, redis_state
from tests.sentinels import NAME, Sentinels, sentinels

pytestmark = pytest.mark.anyio

SECRETS: Final = (b"k" * 32,)


@pytest.fixture
def running() -> Generator[Sentinels]:
    with sentinels(down_after_ms=500) as servers:
        yield servers


async def usable(state: State) -> None:
    while True:
        try:
            await state.ping()
        except StateUnavailable:
            await asyncio.sleep(0.01)  # other processes: there is nothing to wait on but their answers
        else:
            return


@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_the_successor_of_a_master_is_followed(running: Sentinels, fault: str) -> None:
    async with redis_state(running.url, running.master.password, SECRETS) as state:
        await state.ping()
        waiting = asyncio.create_task(state.mailbox.receive("b", wait_ms=60_000))
        await asyncio.sleep(0)
        if fault == "kill":
            running.master.kill()
        else:
            running.master.pause()
        with anyio.fail_after(1), pytest.raises(StateUnavailable):
            await state.ping()
        with anyio.fail_after(10):
            await usable(state)
            assert await state.leases.acquire("n", "h", ttl_ms=60_000) is not None
            with pytest.raises(StateUnavailable):
                await waiting
        assert await running.replica.command("EXISTS", "{portside}:lease:n") == 1


async def test_a_silent_sentinel_does_not_keep_us_from_the_master(running: Sentinels) -> None:
    running.watching[0].pause()
    async with redis_state(running.url, running.master.password, SECRETS) as state:
        with anyio.fail_after(1):
            await state.ping()


async def test_a_name_that_no_sentinel_knows_is_unavailable(running: Sentinels) -> None:
    url = running.url.replace(f"/{NAME}?", "/unknown?")
    async with redis_state(url, running.master.password, SECRETS) as state:
        with anyio.fail_after(1), pytest.raises(StateUnavailable, match="'unknown'"):
            await state.ping()
