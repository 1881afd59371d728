"""What a broken network leaves undecided on Redis is done once or not at all, by one, and is nobody else's.

Row C6 of the reliability bar, at the store; SOAK_OPERATIONS=20000 is the whole of it.
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from typing import Final

import pytest

from portside.errors import StateUnavailable
from portside.state.base import Limit
from portside.state.connect import State
from tests.faults.modes import CutAfter, Delay, Pass, Towards
from tests.faults.proxy import FaultProxy, fault_proxy
from tests.faults.shapes import Verb, session, state_by, usable
from tests.redis_servers import RedisServer, redis_server

pytestmark = [pytest.mark.anyio, pytest.mark.timing, pytest.mark.timeout(3600)]

OPERATIONS: Final = int(os.environ.get("SOAK_OPERATIONS", "1500"))
SESSIONS: Final = 20
CUT_BYTES: Final = (170, 420)
"""Enough for a new connection to be greeted and to answer once: a retry of it would succeed."""
TO_CLIENT: Final[tuple[Towards, ...]] = ("client", "client", "client")


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


async def test_late_answers_and_broken_connections_never_give_one_what_is_anothers(way: FaultProxy) -> None:
    """Answers that come after their deadline meet connections that others use by then, unless those are dropped."""
    chance = random.Random(11)
    async with state_by(way.port) as state:
        for number in range(SESSIONS):
            await state.sessions.create(session(f"s{number}", f"user {number}"), f"h{number}")
            await state.streams.append(f"s{number}", "1", b"", epoch=1)
            await state.streams.append(f"s{number}", "1", b'"of %d"' % number, epoch=1)
        ended = asyncio.Event()

        async def break_things() -> None:
            while not ended.is_set():
                way.set(chance.choice([Delay(chance.uniform(150, 400)), Pass(), CutAfter(chance.randrange(4000))]))
                await asyncio.sleep(chance.uniform(0.05, 0.3))

        breaking = asyncio.create_task(break_things())
        try:
            answered = await asyncio.gather(*(seen(state, random.Random(each)) for each in range(8)))
        finally:
            ended.set()
            await breaking
    assert sum(answered) > 0


async def seen(state: State, chance: random.Random) -> int:
    """Ask for others' things at random until all is asked or time is over; return how often there was an answer."""
    answered = 0
    for _ in range(OPERATIONS // 8):
        number = chance.randrange(SESSIONS)
        try:
            if chance.random() < 0.5:
                held = await state.sessions.load(f"s{number}")
                assert held is not None
                assert (held.record, held.owner) == (session(f"s{number}", f"user {number}"), f"h{number}")
            else:
                tail = await state.streams.after(f"s{number}", "1.1")
                assert tail is not None
                assert [event.data for event in tail.events] == [b'"of %d"' % number]
            answered += 1
        except StateUnavailable:
            await asyncio.sleep(0.01)
    return answered


async def sends_once(state: State) -> int:
    return len(await state.mailbox.receive("b", wait_ms=0))


async def publishes_once(state: State) -> int:
    return len((await state.news.receive("0-0", wait_ms=0))[1])


async def appends_once(state: State) -> int:
    tail = await state.streams.after("s", "1.1")
    return 0 if tail is None else len(tail.events)


async def counts_once(state: State) -> int:
    return 99 - (await state.counters.hit([Limit("k", 100, 3_600_000)])).remaining


WRITES: Final[dict[str, tuple[Verb, Callable[[State], Awaitable[int]]]]] = {
    "send": (lambda state: state.mailbox.send("b", [b"x"], ttl_ms=3_600_000), sends_once),
    "publish": (lambda state: state.news.publish(b"x"), publishes_once),
    "append": (lambda state: state.streams.append("s", "1", b"{}", epoch=1), appends_once),
    "hit": (lambda state: state.counters.hit([Limit("k", 100, 3_600_000)]), counts_once),
}


@pytest.mark.parametrize("name", WRITES)
async def test_a_write_whose_answer_was_cut_is_unavailable_and_was_done_once(way: FaultProxy, name: str) -> None:
    """It is never sent again behind our back, though a new connection would carry it."""
    write, done = WRITES[name]
    async with state_by(way.port) as state:
        await state.streams.append("s", "1", b"", epoch=1)
        await write(state)  # now its script is known there
        before = await done(state)
        way.set(CutAfter(1, is_for_new=False))
        with pytest.raises(StateUnavailable):
            await write(state)
        way.set(Pass())
        await usable(state)
        earlier = {"send": 0, "hit": before + 1}.get(name, before)  # receiving empties, looking counts
        assert await done(state) == earlier + 1


async def test_what_a_broken_network_leaves_undecided_is_done_once_or_not_at_all(way: FaultProxy) -> None:
    """Whether a write whose answer was cut has had its effect is open, but nobody sends it again behind our back."""
    chance, limit = random.Random(12), Limit("many", 100_000, 3_600_000)
    sent: list[bytes] = []
    received: list[bytes] = []
    appended = hits = 0
    async with state_by(way.port) as state:
        first = await state.streams.append("s", "1", b"", epoch=1)

        async def append(data: bytes) -> None:
            nonlocal appended
            await state.streams.append("s", "1", data, epoch=1)
            appended += 1

        async def hit(_: bytes) -> None:
            nonlocal hits
            hits += 1
            await state.counters.hit([limit])

        async def send(data: bytes) -> None:
            sent.append(data)
            await state.mailbox.send("w", [data], ttl_ms=3_600_000)

        async def receive(_: bytes) -> None:
            received.extend(await state.mailbox.receive("w", wait_ms=0))

        for number in range(OPERATIONS // 12):
            towards = chance.choice((*TO_CLIENT, "server"))
            way.set(CutAfter(chance.randrange(*CUT_BYTES), towards) if number % 2 else Pass())
            for place, verb in enumerate(chance.sample([append, hit, send, receive] * 3, 12)):
                with suppress(StateUnavailable):
                    await verb(b"%d" % (number * 100 + place))
            way.set(Pass())
            await usable(state)
        await receive(b"")
        tail = await state.streams.after("s", first)
        counted = limit.most - (await state.counters.hit([limit])).remaining - 1
    assert tail is not None
    kept = [int(event.data) for event in tail.events]
    assert kept == sorted(set(kept))
    assert len(kept) >= appended > 0
    assert 0 < counted <= hits
    assert len(set(received)) == len(received), "a letter was given out twice"
    assert received == [letter for letter in sent if letter in set(received)], "letters came out of order"


async def test_one_of_many_has_a_lease_and_one_makes_a_call_while_connections_break(way: FaultProxy) -> None:
    chance, runs = random.Random(13), max(20, OPERATIONS // 50)
    async with state_by(way.port) as one, state_by(way.port) as two, state_by(way.port) as three:
        highest = 0
        for number in range(runs):
            loop = asyncio.get_running_loop()
            loop.call_later(chance.uniform(0, 0.01), way.reset_all)
            states = {"a": one, "b": two, "c": three}
            said = await asyncio.gather(
                *(state.leases.acquire(f"job {number}", name, ttl_ms=60_000) for name, state in states.items()),
                *(state.ledger.begin(f"k{number}", "d", name, ttl_ms=60_000) for name, state in states.items()),
                return_exceptions=True,
            )
            tokens = [token for token in said[:3] if isinstance(token, int)]
            claimed = [entry for entry in said[3:] if not isinstance(entry, BaseException | int | None)]
            unforeseen = [one for one in said if isinstance(one, Exception) and not isinstance(one, StateUnavailable)]
            assert unforeseen == []
            assert len(tokens) <= 1
            assert len([entry for entry in claimed if entry.status == "new"]) <= 1
            assert all(token > highest for token in tokens)
            highest = max([highest, *tokens])
            for state in states.values():
                await usable(state)
