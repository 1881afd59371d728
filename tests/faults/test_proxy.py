"""The fault proxy does to connections what it is told, against a server that repeats what it hears."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final

import pytest

from tests.faults.echo import echo
from tests.faults.modes import BlackHole, CutAfter, Delay, Hold, Pass, Refuse, Reset, Throttle
from tests.faults.proxy import FaultProxy, fault_proxy

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(30)]

SHORT_S: Final = 0.2
"""Nothing came in this time: it was held back, for tests that cannot wait for what never comes."""

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def proxied() -> AsyncGenerator[FaultProxy]:
    """A proxy before a server that repeats what it hears, and closes when its client does."""
    async with echo() as port:
        with fault_proxy(port) as proxy:
            yield proxy


@asynccontextmanager
async def client(proxy: FaultProxy) -> AsyncGenerator[Ends]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def ask(ends: Ends, data: bytes = b"hello") -> bytes:
    reader, writer = ends
    writer.write(data)
    async with asyncio.timeout(5):
        return await reader.readexactly(len(data))


async def is_silent(ends: Ends) -> bool:
    try:
        async with asyncio.timeout(SHORT_S):
            await ends[0].read(1)
    except TimeoutError:
        return True
    return False


async def until_reset(ends: Ends) -> None:
    try:
        async with asyncio.timeout(5):
            while await ends[0].read(65536):
                pass
    except ConnectionResetError:
        return
    raise AssertionError("the connection was closed in order")


async def reset_at_once(proxy: FaultProxy) -> None:
    try:
        async with client(proxy) as fresh:
            await until_reset(fresh)
    except ConnectionResetError:
        pass  # so soon that connecting fails


async def test_it_passes_what_comes_in_order_and_ends_with_both_ends() -> None:
    async with proxied() as proxy, client(proxy) as ends:
        data = bytes(range(256)) * 20_000
        assert await ask(ends, data) == data
        ends[1].write_eof()
        async with asyncio.timeout(5):
            assert await ends[0].read() == b""
        assert proxy.passed == 2 * len(data)
        assert proxy.accepted == 1
        assert proxy.open == 0


async def test_refusing_is_like_a_dead_process_until_it_listens_again() -> None:
    async with proxied() as proxy, client(proxy) as ends:
        await ask(ends)
        with proxy.under(Refuse()):
            await until_reset(ends)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", proxy.port)
        async with client(proxy) as again:
            assert await ask(again) == b"hello"


async def test_reset_ends_open_and_new_connections() -> None:
    async with proxied() as proxy, client(proxy) as ends:
        await ask(ends)
        with proxy.under(Reset()):
            await until_reset(ends)
            await reset_at_once(proxy)


async def test_connections_can_be_reset_once_without_a_change_of_mode() -> None:
    async with proxied() as proxy, client(proxy) as ends:
        await ask(ends)
        proxy.reset_all()
        await until_reset(ends)
        async with client(proxy) as again:
            assert await ask(again) == b"hello"


async def test_a_black_hole_accepts_and_answers_nothing_and_what_lost_bytes_is_reset_after_it() -> None:
    async with proxied() as proxy, client(proxy) as ends, client(proxy) as idle:
        await ask(ends)
        await ask(idle)
        with proxy.under(BlackHole()):
            ends[1].write(b"lost")
            async with client(proxy) as fresh:
                fresh[1].write(b"lost")
                assert await is_silent(ends)
                assert await is_silent(fresh)
                proxy.set(Pass())
                await until_reset(fresh)
        await until_reset(ends)
        assert await ask(idle) == b"hello"


async def test_what_was_held_passes_afterwards_in_order() -> None:
    async with proxied() as proxy, client(proxy) as ends:
        with proxy.under(Hold()):
            for word in (b"one ", b"two ", b"three"):
                ends[1].write(word)
            assert await is_silent(ends)
        async with asyncio.timeout(5):
            assert await ends[0].readexactly(13) == b"one two three"


async def test_an_end_is_held_too() -> None:
    async with proxied() as proxy, client(proxy) as ends:
        await ask(ends)
        proxy.set(Hold())
        ends[1].write_eof()
        assert await is_silent(ends)
        proxy.set(Pass())
        async with asyncio.timeout(5):
            assert await ends[0].read() == b""


async def test_a_delay_is_each_way_and_keeps_the_order() -> None:
    loop = asyncio.get_running_loop()
    async with proxied() as proxy, client(proxy) as ends:
        with proxy.under(Delay(100)):
            began = loop.time()
            for number in range(10):
                ends[1].write(b"%d" % number)
            async with asyncio.timeout(5):
                assert await ends[0].readexactly(10) == b"0123456789"
            assert loop.time() - began >= 0.2  # never earlier; how much later is the machine's business


async def test_what_a_delay_kept_back_leaves_when_it_ends() -> None:
    async with proxied() as proxy, client(proxy) as ends:
        with proxy.under(Delay(60_000)):
            ends[1].write(b"a")
            assert await is_silent(ends)
        ends[1].write(b"b")
        async with asyncio.timeout(5):
            assert await ends[0].readexactly(2) == b"ab"


@pytest.mark.parametrize("towards", ["client", "server"])
async def test_a_connection_is_cut_after_so_many_bytes_and_they_arrive(towards: str) -> None:
    async with proxied() as proxy, client(proxy) as ends:
        await ask(ends)
        proxy.set(CutAfter(7, "client" if towards == "client" else "server"))
        passed = proxy.passed
        ends[1].write(b"0123456789")
        await until_reset(ends)
        sent = 10 if towards == "client" else 7
        assert proxy.passed - passed in (sent + 7, 7)  # cut on the way there, the echo may not have come back
        async with client(proxy) as fresh:
            assert await ask(fresh, b"123456") == b"123456"


async def test_connections_made_after_a_cut_can_be_let_through() -> None:
    async with proxied() as proxy, client(proxy) as ends:
        await ask(ends)
        proxy.set(CutAfter(1, is_for_new=False))
        async with client(proxy) as fresh:
            assert await ask(fresh) == b"hello"
        ends[1].write(b"hello")
        await until_reset(ends)


async def test_a_throttle_spreads_bytes_over_time() -> None:
    loop = asyncio.get_running_loop()
    async with proxied() as proxy, client(proxy) as ends:
        with proxy.under(Throttle(100_000)):
            began = loop.time()
            data = b"x" * 50_000
            assert await ask(ends, data) == data
            assert loop.time() - began >= 0.49


async def test_a_server_that_is_not_there_is_a_reset() -> None:
    with fault_proxy(1) as proxy:
        await reset_at_once(proxy)


async def test_back_pressure_reaches_the_sender() -> None:
    async with proxied() as proxy, client(proxy) as ends:
        proxy.set(Hold())
        writer = ends[1]
        for _ in range(100):
            writer.write(b"x" * 1_000_000)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SHORT_S):
                await writer.drain()


async def test_it_ends_while_connections_are_being_made_and_broken() -> None:
    chance = random.Random(3)
    async with echo() as port:
        for _ in range(30):
            with fault_proxy(port) as proxy:
                clients = [asyncio.create_task(heard_for_a_moment(proxy)) for _ in range(chance.randrange(1, 8))]
                for _ in range(chance.randrange(3)):
                    await asyncio.sleep(chance.uniform(0, 0.003))
                    proxy.set(chance.choice([Pass(), Reset(), CutAfter(chance.randrange(3)), BlackHole(), Delay(5)]))
            await asyncio.gather(*clients)


async def heard_for_a_moment(proxy: FaultProxy) -> None:
    with suppress(OSError, TimeoutError):
        async with client(proxy) as ends:
            ends[1].write(b"x")
            async with asyncio.timeout(0.005):
                await ends[0].read(1)
