"""The load sees what it is there to see, and is cheap: against real replicas, through fronts and broken networks."""

import asyncio
from typing import Final

import pytest

from tests.families.environments import python_of
from tests.faults.fronts import Kinds, front
from tests.faults.judge import Outcome
from tests.faults.load import load
from tests.faults.modes import CutAfter
from tests.faults.proxy import fault_proxy
from tests.faults.replicas import CHILD, FASTMCP, V1, replicas
from tests.faults.report import Plan

pytestmark = [pytest.mark.anyio, pytest.mark.timing, pytest.mark.timeout(60)]

SHORT: Final = Plan(seconds=3, stream_s=1)


async def test_every_call_of_both_eras_is_answered_once_for_little_of_a_core() -> None:
    async with replicas(1, has_redis=False) as cluster:
        report = await load([cluster.port], SHORT)
        assert report.outcomes == {Outcome.OK: 600}, report
        assert (report.duplicates, report.missing, report.lost_sessions) == (0, 0, 0), report
        assert report.cpu_s / report.wall_s < 0.4, report
        ran = {id for id, tool in report.tools.items() if tool != "add"}
        assert cluster.effects.counts() == dict.fromkeys(ran, 1)
        assert cluster.tracebacks() == []


@pytest.mark.parametrize("server", [CHILD, FASTMCP, V1], ids=["child", "fastmcp", "v1"])
async def test_every_family_serves_the_load(server: str) -> None:
    python = python_of("sdk1") if server == V1 else None
    async with replicas(1, server=server, has_redis=False, python=python) as cluster:
        report = await load([cluster.port], Plan(rate=30, seconds=2, stream_s=1, sessions=4))
        assert report.outcomes == {Outcome.OK: 60}, report
        assert (report.duplicates, report.missing) == (0, 0), report
        assert cluster.effects.twice() == []


async def test_every_front_passes_modern_calls_to_all_replicas() -> None:
    kinds: tuple[Kinds, ...] = ("haproxy", "nginx", "roundrobin")
    async with replicas(2, has_redis=False) as cluster:
        for kind in kinds:
            seen = len(cluster.effects.runs())
            with front(kind, cluster.ports) as before:
                report = await load([before.port], Plan(rate=50, seconds=2, stream_s=1, legacy=0), tls=before.tls)
            assert report.outcomes == {Outcome.OK: 100}, f"{kind}: {report}"
            assert {run.replica for run in cluster.effects.runs()[seen:]} == {"replica-0", "replica-1"}


async def test_legacy_streams_that_break_are_resumed_without_a_gap_or_a_repetition() -> None:
    async with replicas(1, has_redis=False) as cluster:
        with fault_proxy(cluster.port) as way:
            plan = Plan(rate=20, seconds=3, stream_s=2, mix={"slow": 1}, legacy=1, sessions=4)
            ended = asyncio.Event()
            working = asyncio.create_task(load([way.port], plan, until=ended))
            try:
                for _ in range(4):
                    passed, accepted = way.passed, way.accepted
                    while way.passed < passed + 4000 and not working.done():
                        await asyncio.sleep(0.02)
                    way.reset_all()
                    assert way.accepted >= accepted
            finally:
                report = await working
        assert report.resumed > 0, report
        assert (report.duplicates, report.missing) == (0, 0), report
        assert set(report.outcomes) <= {Outcome.OK, Outcome.BROKEN}, report
        assert cluster.effects.twice() == []


async def test_answers_that_were_cut_are_seen_as_broken() -> None:
    async with replicas(1, has_redis=False) as cluster:
        with fault_proxy(cluster.port) as way:
            way.set(CutAfter(100))
            report = await load([way.port], Plan(rate=20, seconds=1, mix={"effect": 1}, legacy=0))
        assert report.outcomes == {Outcome.BROKEN: 20}, report
        assert set(cluster.effects.counts()) == report.ids(Outcome.BROKEN)  # they ran, and nobody was told
