"""What a fleet promises under load of both eras: replacing and scaling fail no request and run none twice."""

import asyncio
import os
from typing import Final

import pytest

from tests.faults.judge import Outcome
from tests.faults.load import load
from tests.faults.report import Plan, Report
from tests.fleet.fleets import Fleet, fleet

# At their full length: SOAK_ROLLS=3 SOAK_REQUESTS=50000 SOAK_RATE=200 and a --timeout of 1500.
ROLLS: Final = int(os.environ.get("SOAK_ROLLS", "1"))
REQUESTS: Final = int(os.environ.get("SOAK_REQUESTS", "0"))
RATE: Final = int(os.environ.get("SOAK_RATE", "60"))

LONGEST_S: Final = 600.0
"""How long a load goes on that is ended by what it was waiting for."""

pytestmark = [pytest.mark.anyio, pytest.mark.timing]


def plan() -> Plan:
    """Return what is sent: half of it on sessions of the old era, and a fifth of it streams."""
    return Plan(rate=RATE, seconds=REQUESTS / RATE or LONGEST_S, stream_s=5.0 if REQUESTS else 1.0)


@pytest.mark.parametrize(("proxy", "replicas"), [("haproxy", 3), ("nginx", 2)])
async def test_replacing_every_replica_fails_no_request_of_either_era_and_loses_no_session(
    proxy: str, replicas: int
) -> None:
    with fleet(proxy) as running:
        await asyncio.to_thread(running.up, "--replicas", str(3 if REQUESTS else replicas))
        before, ended, rolls = running.pids(), asyncio.Event(), 0
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(load([running.port], plan(), until=ended))
            # A load that is counted is rolled under for as long as it lasts.
            while rolls < ROLLS or (REQUESTS and not sending.done()):
                await _done(running, "roll")
                rolls += not sending.done()
            if not REQUESTS:
                ended.set()
        print(f"{proxy}: {rolls} rolls of {len(before)} replicas; {sending.result()}")
        assert rolls >= ROLLS
        assert sending.result().outcomes.total() >= REQUESTS
        assert_flawless(sending.result(), running)
        assert set(before.values()).isdisjoint(running.pids().values())


async def test_one_replica_alone_is_replaced_and_others_come_and_go_without_failing_a_request() -> None:
    with fleet() as running:
        await asyncio.to_thread(running.up, "--replicas", "1")
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(load([running.port], plan(), until=ended))
            await _done(running, "roll")
            assert list(running.pids()) == ["server-1"]
            await _done(running, "scale", "2")
            await _done(running, "scale", "1")
            ended.set()
        assert_flawless(sending.result(), running)
        assert list(running.pids()) == ["server-1"]


def assert_flawless(report: Report, running: Fleet) -> None:
    """Check that every call was answered right, with every event once, and ran exactly once; on its first session.

    A stream that broke and was resumed to its end is well; nothing else is forgiven.
    """
    told = f"{report}\n{running.printed()}"
    assert set(report.outcomes) == {Outcome.OK}, told
    assert (report.duplicates, report.missing, report.lost_sessions) == (0, 0, 0), told
    ran = {id for id, tool in report.tools.items() if tool != "add"}
    assert running.effects.counts() == dict.fromkeys(ran, 1), told


async def _done(running: Fleet, *arguments: str) -> None:
    done = await asyncio.to_thread(running.ask, *arguments, timeout_s=120)
    assert done.returncode == 0, done.stderr + running.printed()
