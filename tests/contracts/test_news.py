"""What every `News` promises."""

import asyncio

import anyio
import pytest

from portside.state.bounds import Bounds
from tests.contracts.worlds import Open

pytestmark = pytest.mark.anyio

LONG = 60_000


async def test_everybody_hears_everything_in_one_order(opened: Open) -> None:
    async with opened() as world:
        here, _ = await world.here.news.receive(None, wait_ms=0)
        there, _ = await world.there.news.receive(None, wait_ms=0)
        for number in range(5):
            await (world.here if number % 2 else world.there).news.publish(b"%d" % number)
        expected = [b"%d" % number for number in range(5)]
        assert (await world.here.news.receive(here, wait_ms=0))[1] == expected
        assert (await world.there.news.receive(there, wait_ms=0))[1] == expected


async def test_nothing_is_heard_twice(opened: Open) -> None:
    async with opened() as world:
        place, _ = await world.here.news.receive(None, wait_ms=0)
        await world.here.news.publish(b"1")
        place, _ = await world.here.news.receive(place, wait_ms=0)
        await world.here.news.publish(b"2")
        place, heard = await world.here.news.receive(place, wait_ms=0)
        assert heard == [b"2"]
        assert (await world.here.news.receive(place, wait_ms=0))[1] == []


async def test_whoever_begins_now_hears_nothing_of_before(opened: Open) -> None:
    async with opened() as world:
        await world.here.news.publish(b"old")
        place, heard = await world.there.news.receive(None, wait_ms=LONG)
        assert heard == []
        await world.here.news.publish(b"new")
        assert (await world.there.news.receive(place, wait_ms=0))[1] == [b"new"]


async def test_whoever_waits_is_woken(opened: Open) -> None:
    async with opened() as world:
        place, _ = await world.there.news.receive(None, wait_ms=0)
        with anyio.fail_after(5):
            for number in range(10):
                waiting = asyncio.create_task(world.there.news.receive(place, wait_ms=LONG))
                await asyncio.sleep(0)
                await world.here.news.publish(b"%d" % number)
                place, heard = await waiting
                assert heard == [b"%d" % number]


async def test_waiting_ends_without_news(opened: Open) -> None:
    async with opened() as world:
        place, _ = await world.here.news.receive(None, wait_ms=0)
        with anyio.fail_after(5):
            assert await world.here.news.receive(place, wait_ms=20) == (place, [])


async def test_what_was_too_much_is_lost_and_the_rest_is_heard(opened: Open) -> None:
    async with opened(Bounds(max_news=100)) as world:
        place, _ = await world.there.news.receive(None, wait_ms=0)
        for number in range(1000):
            await world.here.news.publish(b"%d" % number)
        place, heard = await world.there.news.receive(place, wait_ms=0)
        assert list(heard) == [b"%d" % number for number in range(1000 - len(heard), 1000)]
        assert 100 <= len(heard) < 1000
        assert (await world.there.news.receive(place, wait_ms=0))[1] == []
