"""What every `Mailbox` promises."""

import asyncio

import anyio
import pytest

from portside.errors import MailboxFull
from portside.state.bounds import Bounds
from tests.contracts.worlds import Open

pytestmark = pytest.mark.anyio

LONG = 60_000


async def test_letters_arrive_once_and_in_order(opened: Open) -> None:
    async with opened() as world:
        await world.here.mailbox.send("b", [b"1", b"2"], ttl_ms=LONG)
        await world.here.mailbox.send("b", [b"3"], ttl_ms=LONG)
        assert await world.there.mailbox.receive("b", wait_ms=0) == [b"1", b"2", b"3"]
        assert await world.there.mailbox.receive("b", wait_ms=0) == []


async def test_everybody_has_a_box_of_their_own(opened: Open) -> None:
    async with opened() as world:
        await world.here.mailbox.send("b", [b"1"], ttl_ms=LONG)
        assert await world.there.mailbox.receive("c", wait_ms=0) == []


async def test_whoever_waits_is_woken_by_a_letter(opened: Open) -> None:
    async with opened() as world:
        with anyio.fail_after(5):
            for number in range(20):
                waiting = asyncio.create_task(world.there.mailbox.receive("b", wait_ms=LONG))
                await asyncio.sleep(0)
                await world.here.mailbox.send("b", [b"%d" % number], ttl_ms=LONG)
                assert await waiting == [b"%d" % number]


async def test_waiting_ends_without_a_letter(opened: Open) -> None:
    async with opened() as world:
        with anyio.fail_after(5):
            assert await world.here.mailbox.receive("b", wait_ms=20) == []


async def test_a_receiver_that_is_cancelled_loses_nothing(opened: Open) -> None:
    async with opened() as world:
        waiting = asyncio.create_task(world.there.mailbox.receive("b", wait_ms=LONG))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await world.here.mailbox.send("b", [b"1"], ttl_ms=LONG)
        assert await world.there.mailbox.receive("b", wait_ms=1000) == [b"1"]


async def test_a_letter_that_nobody_fetched_in_time_is_gone(opened: Open) -> None:
    async with opened() as world:
        await world.here.mailbox.send("b", [b"short"], ttl_ms=20)
        await world.here.mailbox.send("b", [b"long"], ttl_ms=LONG)
        await world.elapse(21)
        assert await world.there.mailbox.receive("b", wait_ms=0) == [b"long"]


async def test_a_long_life_is_not_shortened_by_a_later_letter(opened: Open) -> None:
    async with opened() as world:
        await world.here.mailbox.send("b", [b"long"], ttl_ms=LONG)
        await world.here.mailbox.send("b", [b"short"], ttl_ms=20)
        await world.elapse(21)
        assert await world.there.mailbox.receive("b", wait_ms=0) == [b"long"]


async def test_a_full_box_takes_all_letters_or_none(opened: Open) -> None:
    async with opened(Bounds(max_letters=3)) as world:
        await world.here.mailbox.send("b", [b"1", b"2"], ttl_ms=LONG)
        with pytest.raises(MailboxFull):
            await world.here.mailbox.send("b", [b"3", b"4"], ttl_ms=LONG)
        await world.here.mailbox.send("b", [b"3"], ttl_ms=LONG)
        assert await world.there.mailbox.receive("b", wait_ms=0) == [b"1", b"2", b"3"]
        await world.here.mailbox.send("b", [b"5", b"6", b"7"], ttl_ms=LONG)


async def test_a_box_is_bounded_in_bytes_too(opened: Open) -> None:
    async with opened(Bounds(max_letter_bytes=100)) as world:
        await world.here.mailbox.send("b", [b"x" * 60], ttl_ms=LONG)
        with pytest.raises(MailboxFull):
            await world.here.mailbox.send("b", [b"x" * 60], ttl_ms=LONG)
        await world.there.mailbox.receive("b", wait_ms=0)
        await world.here.mailbox.send("b", [b"x" * 60], ttl_ms=LONG)


async def test_letters_that_expired_make_room(opened: Open) -> None:
    async with opened(Bounds(max_letters=3)) as world:
        await world.here.mailbox.send("b", [b"kept"], ttl_ms=LONG)
        await world.here.mailbox.send("b", [b"1", b"2"], ttl_ms=20)
        await world.elapse(21)
        await world.here.mailbox.send("b", [b"3", b"4"], ttl_ms=LONG)
        assert await world.there.mailbox.receive("b", wait_ms=0) == [b"kept", b"3", b"4"]


async def test_a_dropped_box_is_empty(opened: Open) -> None:
    async with opened() as world:
        await world.here.mailbox.send("b", [b"1"], ttl_ms=LONG)
        await world.there.mailbox.drop("b")
        assert await world.there.mailbox.receive("b", wait_ms=0) == []


async def test_a_letter_is_taken_back_before_it_is_fetched_and_never_after(opened: Open) -> None:
    async with opened(Bounds(max_letters=2)) as world:
        await world.here.mailbox.send("b", [b"1", b"2"], ttl_ms=LONG)
        assert await world.here.mailbox.take_back("b", b"1")
        assert not await world.here.mailbox.take_back("b", b"1")
        await world.here.mailbox.send("b", [b"3"], ttl_ms=LONG)
        assert await world.there.mailbox.receive("b", wait_ms=0) == [b"2", b"3"]
        assert not await world.here.mailbox.take_back("b", b"2")
        assert not await world.here.mailbox.take_back("nobody", b"2")


async def test_every_letter_is_either_received_or_taken_back(opened: Open) -> None:
    async with opened() as world:
        got: list[bytes] = []
        back: list[bytes] = []

        async def fetch() -> None:
            while len(got) + len(back) < 100:
                got.extend(await world.there.mailbox.receive("b", wait_ms=5))

        async def send_and_regret(letter: bytes) -> None:
            await world.here.mailbox.send("b", [letter], ttl_ms=LONG)
            if await world.here.mailbox.take_back("b", letter):
                back.append(letter)

        letters = [b"%d" % number for number in range(100)]
        with anyio.fail_after(20):
            fetching = asyncio.create_task(fetch())
            await asyncio.gather(*map(send_and_regret, letters))
            await fetching
        assert sorted([*got, *back]) == sorted(letters)


async def test_many_senders_lose_nothing(opened: Open) -> None:
    async with opened() as world:
        got: list[bytes] = []

        async def fetch() -> None:
            while len(got) < 200:
                got.extend(await world.there.mailbox.receive("b", wait_ms=LONG))

        with anyio.fail_after(20):
            fetching = asyncio.create_task(fetch())
            await asyncio.gather(
                *(world.here.mailbox.send("b", [b"%d" % n, b"%d'" % n], ttl_ms=LONG) for n in range(100))
            )
            await fetching
        assert sorted(got) == sorted(letter for n in range(100) for letter in (b"%d" % n, b"%d'" % n))
