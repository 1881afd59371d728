"""Replicas die, stop, drain and come back as tests say, and nothing is left of them."""

import os
import signal

import pytest

from tests.faults.judge import Outcome
from tests.faults.load import load
from tests.faults.modes import Refuse
from tests.faults.replica import ready
from tests.faults.replicas import replicas
from tests.faults.report import Plan
from tests.processes import ServerFailed

pytestmark = [pytest.mark.anyio, pytest.mark.timing, pytest.mark.timeout(60)]


async def test_replicas_live_and_die_on_their_own() -> None:
    async with replicas(2, has_redis=False, proxy="roundrobin") as cluster:
        await cluster.kill(0)
        assert ready(cluster.ports[0])[0] == 0
        assert cluster.replicas[0].process.returncode == -signal.SIGKILL
        assert ready(cluster.port)[0] == 200
        assert await cluster.terminate(1) == 0
        report = await load([cluster.port], Plan(rate=10, seconds=1, legacy=0))
        assert report.outcomes == {Outcome.UNCLEAR: 10}, report  # the front says that nobody is there
        await cluster.restart(0)
        await cluster.restart(1)
        for index in range(2):
            await cluster.await_ready(index)
        with pytest.raises(ServerFailed, match="runs already"):
            await cluster.restart(1)
        pids = [replica.process.pid for replica in cluster.replicas]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_stopped_replica_answers_nothing_until_it_goes_on_and_is_ended_all_the_same() -> None:
    async with replicas(2, has_redis=False) as cluster:
        cluster.stop(0)
        assert ready(cluster.ports[0])[0] == 0
        assert ready(cluster.ports[1])[0] == 200
        cluster.cont(0)
        await cluster.await_ready(0)
        cluster.stop(1)
        pid = cluster.replicas[1].process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_each_replica_has_its_own_way_to_redis() -> None:
    async with replicas(2, has_ways=True) as cluster:
        assert cluster.redis is not None
        with cluster.ways[0].under(Refuse()):
            assert cluster.redis.ask("PING") == b"PONG"
        assert len({way.port for way in cluster.ways}) == 2
