"""State on Redis whose network or server fails: said soon, over soon, and nobody is given what is another's.

Rows C6 and C7 of the reliability bar, at the store.
"""

import asyncio
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

import pytest

from portside.errors import Fenced, StateUnavailable
from portside.state.connect import State
from tests.faults.modes import BlackHole, CutAfter, Delay, Hold, Mode, Refuse, Reset, Throttle
from tests.faults.partition import partition
from tests.faults.proxy import FaultProxy, fault_proxy
from tests.faults.shapes import FAILED_OVER_S, NOTICED_S, granted, refused, session, state_at, state_by, usable
from tests.redis_servers import RedisServer, redis_server
from tests.sentinels import Sentinels, sentinels

pytestmark = [pytest.mark.anyio, pytest.mark.timing, pytest.mark.timeout(3600)]

SESSIONS: Final = 20
NETWORK: Final[dict[str, Mode]] = {
    "refused": Refuse(),
    "reset": Reset(),
    "swallowed": BlackHole(),
    "held": Hold(),
    "slowed by 2 s": Delay(1000),
    "throttled": Throttle(20),
    "cut in the middle of answers": CutAfter(3),
}


@pytest.fixture(scope="module")
def store() -> Generator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def way(store: RedisServer) -> Generator[FaultProxy]:
    """A way to the store, which is empty."""
    store.empty()
    with fault_proxy(store.port) as proxy:
        yield proxy


@pytest.mark.parametrize("fault", NETWORK)
async def test_a_broken_network_is_told_by_every_verb_in_time_and_over_in_time(way: FaultProxy, fault: str) -> None:
    async with state_by(way.port) as state:
        await granted(state)
        with way.under(NETWORK[fault]):
            await refused(state)
            await refused(state)
        await usable(state)
        await granted(state)


async def test_dropped_packets_are_told_by_every_verb_in_time_and_over_in_time(way: FaultProxy) -> None:
    with partition() as network:
        async with state_by(way.port) as state:
            await granted(state)
            network.cut(way.port)
            await refused(state)
            await refused(state)
            network.heal()
            await usable(state)
            await granted(state)


@contextmanager
def killed(server: RedisServer) -> Generator[None]:
    server.kill()
    yield
    server.start()


@contextmanager
def stopped(server: RedisServer) -> Generator[None]:
    server.pause()
    try:
        yield
    finally:
        server.resume()


@pytest.mark.parametrize("fault", [killed, stopped])
async def test_a_server_that_is_gone_or_silent_is_told_by_every_verb(
    fault: Callable[[RedisServer], AbstractContextManager[None]],
) -> None:
    with redis_server() as server:
        async with state_by(server.port) as state:
            with fault(server):
                await refused(state)
                await refused(state)
            await usable(state)
            if fault is killed:
                await state.sessions.create(session("s"), "h")
            await granted(state)


async def test_a_store_that_is_sick_for_long_is_asked_by_one_probe_and_noticed_when_well(way: FaultProxy) -> None:
    """Otherwise every call of every replica would connect to a server that struggles, or nobody would for long."""
    async with state_by(way.port) as state:
        with way.under(Reset()):
            await refused(state)
            accepted = way.accepted
            async with asyncio.timeout(20):
                while way.accepted < accepted + 8:
                    await refused(state)
                    await asyncio.sleep(0.01)
            after = way.accepted
            for _ in range(20):
                await refused(state)
            assert way.accepted - after <= 3
        await usable(state)
        await granted(state)


async def test_whoever_waits_on_a_dead_connection_is_told_when_the_store_is_back(way: FaultProxy) -> None:
    """By the store's own doing: nothing on the way ends what was held."""
    async with state_by(way.port) as state:
        waiting = asyncio.gather(
            state.mailbox.receive("w", wait_ms=60_000),
            state.news.receive("0-0", wait_ms=60_000),
            return_exceptions=True,
        )
        await state.ping()
        with way.under(Hold()):
            await refused(state)
        await usable(state)
        async with asyncio.timeout(NOTICED_S):
            said = await waiting
        assert {type(one) for one in said} <= {StateUnavailable}


async def test_an_emptied_store_is_noticed_by_whoever_had_something_there(way: FaultProxy, store: RedisServer) -> None:
    async with state_by(way.port) as state:
        token = await state.leases.acquire("job", "h", ttl_ms=60_000)
        begun = await state.ledger.begin("key", "digest", "h", ttl_ms=60_000)
        event = await state.streams.append("s", "1", b"{}", epoch=1)
        place, _ = await state.news.receive(None, wait_ms=0)
        await state.mailbox.send("b", [b"letter"], ttl_ms=60_000)
        store.empty()
        assert await state.leases.acquire("job", "h", ttl_ms=60_000) not in (None, token)
        assert await state.sessions.load("s") is None
        with pytest.raises(Fenced):
            await state.streams.append("s", "1", b"{}", epoch=1)
        assert await state.streams.after("s", event) is None
        assert list(await state.mailbox.receive("b", wait_ms=0)) == []
        again = await state.ledger.begin("key", "digest", "other", ttl_ms=60_000)
        assert (begun.status, again.status) == ("new", "new")
        assert not await state.ledger.finish("key", b"of the former", token=begun.token, ttl_ms=60_000)
        await state.news.publish(b"new")
        assert (await state.news.receive(place, wait_ms=1000))[1] == [b"new"]


async def test_a_store_set_back_gives_nobody_a_token_that_somebody_had() -> None:
    with redis_server() as server:
        async with state_by(server.port) as state:
            tokens = [await taken_anew(state, "a")]
            epoch = 1
            dump = server.dump()
            tokens += [await taken_anew(state, holder) for holder in ("b", "c", "d")]
            first = await state.ledger.begin("key", "digest", "h", ttl_ms=60_000)
            epoch = await state.sessions.claim("s", "other", epoch=epoch)
            assert epoch is not None
            server.set_back(dump)
            await usable(state)
            tokens += [await taken_anew(state, holder) for holder in ("e", "f", "g")]
            assert len(set(tokens)) == len(tokens)
            assert tokens == sorted(tokens)
            with pytest.raises(Fenced):
                await state.streams.append("s", "1", b"{}", epoch=epoch)
            again = await state.sessions.claim("s", "other", epoch=1)
            assert again is not None
            assert again > epoch
            second = await state.ledger.begin("key", "digest", "other", ttl_ms=60_000)
            assert second.token > first.token
            assert not await state.ledger.finish("key", b"of the former", token=first.token, ttl_ms=60_000)


async def taken_anew(state: State, holder: str) -> int:
    token = await state.leases.acquire("job", holder, ttl_ms=60_000)
    assert token is not None
    assert await state.leases.release("job", holder)
    return token


@pytest.fixture(scope="module")
def watched() -> Generator[Sentinels]:
    with sentinels(down_after_ms=1000) as cluster:
        yield cluster


async def test_a_failover_is_followed_in_time_and_shows_nobody_what_is_anothers(watched: Sentinels) -> None:
    async with state_at(watched.url) as state:
        for number in range(SESSIONS):
            await state.sessions.create(session(f"s{number}", f"user {number}"), f"h{number}")
        token = await taken_anew(state, "a")
        watched.master.ask("WAIT", "1", "1000")
        watched.master.kill()
        await refused(state)
        await usable(state, FAILED_OVER_S)
        watched.await_failover(1)
        for number in range(SESSIONS):
            held = await state.sessions.load(f"s{number}")
            assert held is None or held.record == session(f"s{number}", f"user {number}")
        assert await taken_anew(state, "b") > token
        await state.sessions.create(session("s"), "h")
        await granted(state)
