"""What replicas make of being cut off from each other: nobody waits for what was lost, nobody takes what comes back."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from portside.clock import SystemClock
from portside.gateway.heart import Heart
from portside.state.base import Leases
from portside.state.connect import memory_state
from portside.wire import refusal
from tests.gateway.servers import Gate, build
from tests.gateway.severed import replicas
from tests.gateway.test_replicas import PATIENT_S, eventually
from tests.gateway.wired import text

pytestmark = pytest.mark.anyio


async def test_an_answer_that_was_lost_on_its_way_is_not_waited_for() -> None:
    gate = Gate()
    async with replicas(build(gate), build()) as (first, second):
        client = await first.clients.session()
        response = second.adopt(client).call("hold", id=7)
        async with asyncio.timeout(PATIENT_S):
            await gate.entered.wait()
            second.wire.is_cut = True
            gate.opened.set()
            while first.gateway.calls_in_flight:
                await asyncio.sleep(0.01)
            await first.gateway.relay.answered()
            await first.wire.state.mailbox.drop(second.gateway.presence.holder)
            second.wire.is_cut = False
            answer = await response.until_over()
        assert answer.json["error"]["code"] == refusal.OUTCOME_UNKNOWN


async def test_replicas_that_were_all_cut_off_do_not_take_sessions_from_those_that_come_back_later() -> None:
    async with replicas(build(), build()) as (first, second):
        client = await first.clients.session()
        first.wire.is_cut = second.wire.is_cut = True
        async with asyncio.timeout(PATIENT_S):
            while first.gateway.presence.vouched is not None or second.gateway.presence.vouched is not None:
                await asyncio.sleep(0.02)
            second.wire.is_cut = False
            while second.gateway.presence.vouched is None:
                await asyncio.sleep(0.02)
        refused = await second.adopt(client).call("echo", {"text": "hi"}).until_over()
        assert (refused.status, refused.json["error"]["code"]) == (503, refusal.STATE_AWAY)
        first.wire.is_cut = False
        answer = await eventually(lambda: second.adopt(client).call("echo", {"text": "hi"}))
        assert text(answer.json) == "hi"
        assert (len(first.gateway.legacy.live), len(second.gateway.legacy.live)) == (1, 0)


async def test_what_a_beat_leaves_running_goes_on_between_beats() -> None:
    """The probe that finds out that state is back is such a thing: without it a heart once stopped for good."""
    begun: list[asyncio.Task[None]] = []
    ran = threading.Event()

    async def later() -> None:
        await asyncio.sleep(0)
        ran.set()

    async def beat(_: Leases) -> None:
        if not begun:
            begun.append(asyncio.create_task(later()))

    @asynccontextmanager
    async def apart() -> AsyncGenerator[Leases]:
        async with memory_state(SystemClock()) as state:
            yield state.leases

    heart = Heart(apart, beat, SystemClock(), every_s=0.01)
    heart.open()
    try:
        async with asyncio.timeout(PATIENT_S):
            while not ran.is_set():
                await asyncio.sleep(0.01)
    finally:
        await heart.close()
