"""A master that dies under three replicas: what clients see until its successor is found, and afterwards."""

import asyncio
from collections.abc import Generator
from typing import Final

import pytest

from tests.faults.patience import SLACK
from tests.faults.replicas import Cluster
from tests.faults.sick import COUNT, await_shown, everything, recovered, settled, sick_cluster, users
from tests.protected.made import Deployment
from tests.redis_servers import PASSWORD
from tests.sentinels import Sentinels, sentinels

pytestmark = [pytest.mark.anyio, pytest.mark.timing, pytest.mark.timeout(120)]

FAILED_OVER_S: Final = 10.0 * SLACK


@pytest.fixture
def watched() -> Generator[Sentinels]:
    with sentinels(down_after_ms=1000) as cluster:
        yield cluster


@pytest.fixture
def ran(watched: Sentinels, tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Cluster, Deployment]]:
    url = watched.url.replace("://", f"://:{PASSWORD}@")
    with sick_cluster(tmp_path_factory.mktemp("failover"), url) as started:
        yield started


async def test_sessions_go_on_after_a_failover_and_until_then_everybody_is_told_to_come_again(
    ran: tuple[Cluster, Deployment], watched: Sentinels
) -> None:
    async with users(*ran, "failover") as asking:
        await settled(asking)
        sessions = await asking.open()
        await asyncio.to_thread(watched.master.ask, "WAIT", "1", "1000")
        watched.master.kill()
        following = asyncio.create_task(asyncio.to_thread(watched.await_failover))
        while not following.done():
            await everything(asking, sessions)
            await asyncio.sleep(0.1)  # other processes: there is nothing to wait on but their answers
        await following
        await recovered(asking, sessions, FAILED_OVER_S)
        for at in range(COUNT):
            await await_shown(asking, at, "healthy", mcp_state_up=1)
        assert ran[0].effects.twice("effect") == []
