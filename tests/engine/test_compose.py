"""Both Compose deployments for real: applied, called through TLS, replicas killed and stopped, taken down."""

import asyncio
from collections.abc import Generator
from typing import Final

import httpx2
import pytest

from tests.engine.deployments import ALONE, BALANCED, Deployment, deployment
from tests.engine.engine import Engine
from tests.engine.pressing import Pressing
from tests.engine.projects import portside
from tests.journeys.raw import get
from tests.protected.made import ask, bearer

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900)]

CALLERS: Final = 8
SETTLED_S: Final = 8.0
"""Later than that after a replica was lost, no call is: its checks have failed by then."""


@pytest.fixture(scope="module", params=["nginx", "haproxy"])
def ran(
    request: pytest.FixtureRequest, engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Deployment]:
    keys, version = {"nginx": (ALONE, "1.0.1"), "haproxy": (BALANCED, "1.0.3")}[request.param]
    with deployment(engine, tmp_path_factory.mktemp(request.param), keys, version) as started:
        yield started


def is_balanced(ran: Deployment) -> bool:
    return ran.container("haproxy") in ran.services()


async def test_official_clients_of_both_eras_call_through_tls_at_the_front_door(ran: Deployment) -> None:
    assert all("healthy" in status for status in ran.services().values()), ran.services()
    for mode, revision in (("auto", "2026-07-28"), ("legacy", "2025-11-25")):
        spoken, result = await ran.called(mode, "add_note", {"title": mode, "body": "by compose"})
        assert spoken == revision
        assert result.structured_content["title"] == mode


async def test_metrics_and_the_proxys_page_answer_where_they_should_and_nowhere_else(ran: Deployment) -> None:
    head = bearer(ran.token)
    headers = {**head, "Host": f"localhost:{ran.port}"}
    script = f"import urllib.request as u; r = u.Request('http://127.0.0.1:3000/metrics', headers={headers})"
    inside = ("exec", ran.container("server-1"), "/opt/venv/bin/python", "-c")
    shown = ran.engine.docker(*inside, f"{script}; print(u.urlopen(r).read().decode())")
    assert "mcp_http_request_duration_seconds_count" in shown
    outside = await ask(ran.port, get("/metrics", head, host=f"localhost:{ran.port}"), tls=ran.trusting)
    assert outside.status in (403, 404)
    if is_balanced(ran):
        async with httpx2.AsyncClient() as http:
            page = await http.get(f"http://127.0.0.1:{ran.stats_port}/;csv")
        up = [line.split(",")[1] for line in page.text.splitlines() if ",UP," in line]
        assert {"server-1", "server-2", "server-3"} <= set(up)


async def test_what_runs_is_what_was_applied_and_a_second_apply_changes_nothing(ran: Deployment) -> None:
    before = ran.services()
    here = ran.engine.environment
    # Ends with 5, which is raised, unless all that was applied runs and is what was applied.
    portside(ran.project, "deploy", "status", "compose", environment=here)
    portside(ran.project, "deploy", "apply", "compose", "--yes", environment=here)
    assert before.keys() == ran.services().keys()


@pytest.mark.parametrize("ran", ["haproxy"], indirect=True)
@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_a_replica_that_is_lost_under_load_takes_along_only_what_was_on_its_way(
    ran: Deployment, how: str
) -> None:
    loop, name = asyncio.get_running_loop(), ran.container("server-2")
    async with Pressing(ran, CALLERS) as pressing:
        await asyncio.sleep(2)
        lost = loop.time()
        await asyncio.to_thread(ran.engine.docker, how, name)
        await asyncio.sleep(SETTLED_S + 3)
        again = loop.time()
        await asyncio.to_thread(ran.engine.docker, "start" if how == "kill" else "unpause", name)
        await asyncio.sleep(3)
    print(f"{how}: {len(pressing.calls)} calls, {len(pressing.failed)} of them lost: {pressing.failed[:3]}")
    assert len(pressing.calls) > 20 * CALLERS
    assert len(pressing.failed) <= CALLERS
    assert all(lost - 20 <= one.began < lost + SETTLED_S for one in pressing.failed)
    assert [one for one in pressing.failed if one.began > again] == []


async def test_nothing_is_left_once_it_is_taken_down(ran: Deployment) -> None:
    assert ran.left()
    await asyncio.to_thread(ran.compose, "down", "-v")
    assert ran.left() == []
