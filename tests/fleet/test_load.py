"""What a fleet promises under load: replacing and scaling fail no request and run none twice."""

import asyncio
import os
from typing import Final

import pytest

from tests.fleet.fleets import Fleet, fleet
from tests.fleet.load import Load, load

pytestmark = pytest.mark.anyio

# At their full length: SOAK_ROLLS=3 SOAK_REQUESTS=50000 SOAK_RATE=200 and a --timeout of 1200.
ROLLS: Final = int(os.environ.get("SOAK_ROLLS", "1"))
REQUESTS: Final = int(os.environ.get("SOAK_REQUESTS", "0"))
RATE: Final = int(os.environ.get("SOAK_RATE", "100"))


@pytest.mark.parametrize("proxy", ["haproxy", "nginx"])
async def test_replacing_every_replica_fails_no_request_and_runs_none_twice(proxy: str) -> None:
    with fleet(proxy) as running:
        await asyncio.to_thread(running.up, "--replicas", "3")
        before = running.pids()
        async with load(running.port, rate=RATE, workers=RATE // 5) as sent:
            for _ in range(ROLLS):
                await _answered(sent, REQUESTS // (ROLLS + 1))
                await _done(running, "roll")
            await _answered(sent, REQUESTS // (ROLLS + 1))
        assert sent.failed == [], running.printed()
        sent.assert_flawless(running.marks)
        assert set(before.values()).isdisjoint(running.pids().values())


async def test_one_replica_alone_is_replaced_and_others_come_and_go_without_failing_a_request() -> None:
    with fleet() as running:
        await asyncio.to_thread(running.up, "--replicas", "1")
        async with load(running.port) as sent:
            await _done(running, "roll")
            assert list(running.pids()) == ["server-1"]
            await _done(running, "scale", "3")
            await _done(running, "scale", "2")
        assert sent.failed == [], running.printed()
        sent.assert_flawless(running.marks)
        assert list(running.pids()) == ["server-1", "server-2"]


async def _done(running: Fleet, *arguments: str) -> None:
    done = await asyncio.to_thread(running.ask, *arguments, timeout_s=120)
    assert done.returncode == 0, done.stderr + running.printed()


async def _answered(sent: Load, more: int) -> None:
    until = len(sent.answered) + more
    while len(sent.answered) < until:
        await asyncio.sleep(0.1)  # other tasks send; there is nothing to wait on but how far they are
