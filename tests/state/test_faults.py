"""What happens while Redis is away, and how soon it is noticed that it is back (docs/state.md)."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from typing import Final

import anyio
import pytest

from portside.clock import ManualClock
from portside.errors import StateUnavailable
from portside.secret import Secret
from portside.state.base import Limit
from portside.state.connect import State, redis_state
from portside.state.counters import MemoryCounters
from portside.state.degraded import DegradedCounters
from tests.redis_servers import RedisServer, redis_server

pytestmark = pytest.mark.anyio

SECRETS: Final = (b"k" * 32,)
NOTICED_S: Final = 1.0
BACK_S: Final = 2.0


@pytest.fixture
def server() -> Generator[RedisServer]:
    """A server that the test may break."""
    with redis_server() as running:
        yield running


@asynccontextmanager
async def state_on(server: RedisServer) -> AsyncGenerator[State]:
    async with redis_state(server.url, server.password, SECRETS) as state:
        await state.ping()
        yield state


async def usable(state: State) -> None:
    """Return once state can be used."""
    while True:
        try:
            await state.ping()
        except StateUnavailable:
            await asyncio.sleep(0.01)  # another process: there is nothing to wait on but its answer
        else:
            return


EVERY_SHAPE: Final[dict[str, Callable[[State], Awaitable[object]]]] = {
    "sessions": lambda state: state.sessions.load("s"),
    "streams": lambda state: state.streams.after("s", "1.1"),
    "counters": lambda state: state.counters.hit([Limit("k", 1, 1000)]),
    "leases": lambda state: state.leases.acquire("n", "h", ttl_ms=1000),
    "mailbox": lambda state: state.mailbox.send("b", [b"x"], ttl_ms=1000),
    "mailbox, waiting": lambda state: state.mailbox.receive("b", wait_ms=100),
    "news": lambda state: state.news.publish(b"x"),
    "news, waiting": lambda state: state.news.receive("0-0", wait_ms=100),
    "ledger": lambda state: state.ledger.begin("k", "d", "r", ttl_ms=1000),
}


@pytest.mark.parametrize("shape", EVERY_SHAPE)
async def test_every_shape_says_soon_that_state_is_unavailable(server: RedisServer, shape: str) -> None:
    async with state_on(server) as state:
        server.pause()
        with anyio.fail_after(NOTICED_S), pytest.raises(StateUnavailable, match="did not answer within"):
            await EVERY_SHAPE[shape](state)


async def test_while_the_server_is_silent_only_the_first_calls_wait_for_it(server: RedisServer) -> None:
    async with state_on(server) as state:
        server.pause()
        with anyio.fail_after(NOTICED_S):
            first = await asyncio.gather(*(state.leases.holder("n") for _ in range(200)), return_exceptions=True)
        assert {type(result) for result in first} == {StateUnavailable}
        with anyio.fail_after(NOTICED_S):
            for _ in range(2000):
                with pytest.raises(StateUnavailable):
                    await state.leases.holder("n")


async def test_a_server_that_goes_on_is_used_again_soon(server: RedisServer) -> None:
    async with state_on(server) as state:
        server.pause()
        with pytest.raises(StateUnavailable):
            await state.ping()
        await asyncio.sleep(0)
        server.resume()
        with anyio.fail_after(BACK_S):
            await usable(state)


async def test_a_server_that_was_killed_and_started_is_used_again_soon(server: RedisServer) -> None:
    async with state_on(server) as state:
        server.kill()
        for _ in range(20):
            with anyio.fail_after(NOTICED_S), pytest.raises(StateUnavailable):
                await state.ping()
        await asyncio.to_thread(server.start)
        with anyio.fail_after(BACK_S):
            await usable(state)
        assert await state.leases.acquire("n", "h", ttl_ms=1000) is not None


async def test_whoever_waits_while_the_server_dies_is_told(server: RedisServer) -> None:
    async with state_on(server) as state:
        place, _ = await state.news.receive(None, wait_ms=0)
        waiting = asyncio.gather(
            state.mailbox.receive("b", wait_ms=60_000),
            state.news.receive(place, wait_ms=60_000),
            return_exceptions=True,
        )
        while not await blocked(server, 2):
            await asyncio.sleep(0.01)  # another process: there is nothing to wait on but its answer
        server.kill()
        with anyio.fail_after(NOTICED_S):
            results = await waiting
        assert [type(result) for result in results] == [StateUnavailable] * 2


async def blocked(server: RedisServer, clients: int) -> bool:
    told = await server.command("INFO", "clients")
    return isinstance(told, bytes) and b"blocked_clients:%d\r\n" % clients in told


async def test_connections_that_the_server_closed_while_idle_are_replaced(redis: RedisServer) -> None:
    async with state_on(redis) as state:
        for _ in range(5):
            await asyncio.gather(*(state.leases.holder("n") for _ in range(10)))
            await redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await asyncio.sleep(0)
            # What was told on the same loop: nothing is sent into a connection that is known to be closed.
            await redis.command("PING")
            assert await state.leases.holder("n") is None


async def test_scripts_that_the_server_forgot_are_sent_again(redis: RedisServer) -> None:
    async with state_on(redis) as state:
        await state.leases.acquire("n", "h", ttl_ms=1000)
        await redis.command("SCRIPT", "FLUSH")
        assert await state.leases.holder("n") == "h"


async def test_a_wrong_password_is_unavailable_and_not_told(redis: RedisServer) -> None:
    async with redis_state(redis.url, Secret(b"wrong-and-secret"), SECRETS) as state:
        with pytest.raises(StateUnavailable) as caught:
            await state.ping()
        assert "wrong-and-secret" not in str(caught.value)


async def test_a_missing_password_is_unavailable(redis: RedisServer) -> None:
    async with redis_state(redis.url, None, SECRETS) as state:
        with pytest.raises(StateUnavailable):
            await state.ping()


async def test_a_password_in_the_url_is_used(redis: RedisServer) -> None:
    url = redis.url.replace("://", f"://:{redis.password.reveal().decode()}@")
    async with redis_state(url, None, SECRETS) as state:
        await state.ping()


async def test_a_user_with_too_few_rights_is_unavailable_without_stopping_the_others(redis: RedisServer) -> None:
    await redis.command("ACL", "SETUSER", "few", "on", ">few-secret", "~{portside}:*", "+@all", "-xadd")
    url = redis.url.replace("://", "://few@")
    async with redis_state(url, Secret(b"few-secret"), SECRETS) as state:
        with pytest.raises(StateUnavailable):
            await state.news.publish(b"x")
        assert await state.leases.holder("nobody's") is None


async def test_a_user_with_our_keys_alone_is_enough(redis: RedisServer) -> None:
    await redis.command("ACL", "SETUSER", "ours", "on", ">ours-secret", "~{portside}:*", "+@all", "-@admin")
    async with redis_state(redis.url.replace("://", "://ours@"), Secret(b"ours-secret"), SECRETS) as state:
        await state.ping()
        for ask in EVERY_SHAPE.values():
            await ask(state)


async def test_a_replica_that_was_the_master_is_unavailable_until_it_is_one_again(server: RedisServer) -> None:
    async with state_on(server) as state:
        await server.command("REPLICAOF", "127.0.0.1", "1")
        with anyio.fail_after(NOTICED_S), pytest.raises(StateUnavailable):
            await state.leases.acquire("n", "h", ttl_ms=1000)
        await server.command("REPLICAOF", "NO", "ONE")
        with anyio.fail_after(BACK_S):
            await usable(state)


async def test_a_server_that_is_full_refuses_without_stopping_the_others(redis: RedisServer) -> None:
    await redis.command("CONFIG", "SET", "maxmemory", "1")
    try:
        async with redis_state(redis.url, redis.password, SECRETS) as state:
            with pytest.raises(StateUnavailable, match="maxmemory"):
                await state.news.publish(b"x")
            assert await state.leases.holder("nobody's") is None
    finally:
        await redis.command("CONFIG", "SET", "maxmemory", "0")


async def test_limits_are_shared_out_while_redis_is_away(server: RedisServer) -> None:
    limit = Limit("k", 10, 3_600_000)
    async with state_on(server) as state:
        counters = DegradedCounters(state.counters, MemoryCounters(ManualClock()), lambda: 3)
        assert (await counters.hit([limit])).limit == limit
        assert not counters.is_degraded
        server.kill()
        verdicts = [await counters.hit([limit]) for _ in range(5)]
        assert [verdict.is_allowed for verdict in verdicts] == [True, True, True, False, False]
        assert {verdict.limit for verdict in verdicts} == {limit}
        assert counters.is_degraded
        await asyncio.to_thread(server.start)
        await usable(state)
        await counters.hit([limit])
        assert not counters.is_degraded


async def test_closing_while_somebody_waits_leaves_nothing_behind(redis: RedisServer) -> None:
    async with state_on(redis) as state:
        waiting = asyncio.create_task(state.mailbox.receive("b", wait_ms=60_000))
        while not await blocked(redis, 1):
            await asyncio.sleep(0.01)  # another process: there is nothing to wait on but its answer
    with anyio.fail_after(NOTICED_S), pytest.raises(StateUnavailable):
        await waiting
    with pytest.raises(StateUnavailable, match="is closed"):
        await state.ping()
    assert [task for task in asyncio.all_tasks() if task.get_name() == "state-probe"] == []
