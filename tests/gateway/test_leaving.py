"""A replica that is about to end passes its legacy sessions on, and fails no request that is on its way to it."""

import asyncio
from collections.abc import Sequence

import pytest

from portside.state.base import Mailbox
from tests.gateway.servers import Gate, build
from tests.gateway.severed import replicas
from tests.gateway.wired import text

pytestmark = pytest.mark.anyio

LONG_S = 60.0


async def test_a_session_without_work_moves_to_the_replica_that_asks_for_it() -> None:
    async with replicas(build(), build()) as (first, second):
        client = second.adopt(await first.clients.session())
        first.gateway.leave(LONG_S)
        answer = await client.call("echo", {"text": "hi"}).until_over()
        assert text(answer.json) == "hi"
        assert (len(first.gateway.legacy.live), len(second.gateway.legacy.live)) == (0, 1)


async def test_a_session_at_work_is_served_where_its_work_is_and_moves_when_that_is_done() -> None:
    gate = Gate()
    async with replicas(build(gate), build()) as (first, second):
        client = second.adopt(await first.clients.session())
        held = client.call("hold_aloud", id=7)
        await gate.entered.wait()
        first.gateway.leave(LONG_S)
        assert text((await client.call("echo", {"text": "a"}, id=8).until_over()).json) == "a"
        assert len(first.gateway.legacy.live) == 1
        gate.opened.set()
        assert text((await held.until_over()).messages[-1]) == "held"
        assert text((await client.call("echo", {"text": "b"}, id=9).until_over()).json) == "b"
        assert (len(first.gateway.legacy.live), len(second.gateway.legacy.live)) == (0, 1)


async def test_a_call_that_comes_late_waits_for_its_session_to_move() -> None:
    gate = Gate()
    async with replicas(build(gate), build()) as (first, second):
        client = second.adopt(await first.clients.session())
        held = client.call("hold_aloud", id=7)
        await gate.entered.wait()
        first.gateway.leave(0)
        late = client.call("echo", {"text": "late"}, id=8)
        cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 99}}
        assert (await client.post(cancelled).until_over()).status == 202
        assert not late.is_over
        gate.opened.set()
        assert text((await held.until_over()).messages[-1]) == "held"
        assert text((await late.until_over()).json) == "late"
        assert (len(first.gateway.legacy.live), len(second.gateway.legacy.live)) == (0, 1)


async def test_calls_that_wait_for_a_replica_that_ends_are_made_by_the_next_one() -> None:
    gate = Gate()
    async with replicas(build(gate), build()) as (first, second):
        client = second.adopt(await first.clients.session())
        held = client.call("hold_aloud", id=7)
        await gate.entered.wait()
        first.gateway.leave(0)
        late = [client.call("echo", {"text": f"{number}"}, id=10 + number) for number in range(20)]
        await first.gateway.end_streams()
        await first.gateway.close()
        assert [text((await one.until_over()).json) for one in late] == [str(number) for number in range(20)]
        assert "error" in (await held.until_over()).messages[-1]


async def test_requests_that_keep_coming_while_a_replica_ends_are_all_answered() -> None:
    async with replicas(build(), build()) as (first, second):
        clients = [second.adopt(await first.clients.session()) for _ in range(20)]
        answered = list[str]()

        async def ask(number: int) -> None:
            for turn in range(10):
                one = clients[(number + turn) % len(clients)]
                answer = await one.call("echo", {"text": "hi"}, id=number * 100 + turn).until_over()
                answered.append(text(answer.json))

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(ask(number))
            first.gateway.leave(LONG_S)
            await first.gateway.end_streams()
            await first.gateway.settled()
            await first.gateway.close()
        assert answered == ["hi"] * 200
        assert len(second.gateway.legacy.live) == 20


class Behind:
    """A replica's way to its mail on which nothing is read before it has written to its own box."""

    def __init__(self, mailbox: Mailbox, holder: str) -> None:
        self._mailbox = mailbox
        self._holder = holder
        self._may_read = asyncio.Event()

    async def send(self, to: str, letters: Sequence[bytes], *, ttl_ms: int) -> None:
        await self._mailbox.send(to, letters, ttl_ms=ttl_ms)
        if to == self._holder:
            self._may_read.set()

    async def receive(self, holder: str, *, wait_ms: int) -> Sequence[bytes]:
        await self._may_read.wait()
        return await self._mailbox.receive(holder, wait_ms=wait_ms)

    async def take_back(self, to: str, letter: bytes) -> bool:
        return await self._mailbox.take_back(to, letter)


async def test_what_a_replica_said_last_is_heard_though_it_has_gone() -> None:
    async with replicas(build(), build()) as (first, second):
        client = second.adopt(await first.clients.session())
        mail = second.gateway.relay._mail
        mail._mailbox = Behind(mail._mailbox, second.gateway.presence.holder)
        # Read on the way as it was.
        assert text((await client.call("echo", {"text": "a"}, id=1).until_over()).json) == "a"
        first.gateway.leave(LONG_S)
        asked = client.call("echo", {"text": "b"}, id=2)
        while first.gateway.legacy.live:
            await asyncio.sleep(0)
        await first.gateway.close()
        assert text((await asked.until_over()).json) == "b"
        assert len(second.gateway.legacy.live) == 1
