"""Both Compose deployments for real: applied, called through TLS, replicas killed and stopped, taken down."""

import asyncio
import json
from collections.abc import Generator
from typing import Final

import httpx2
import pytest

from tests.engine.deployments import ALONE, BALANCED, Deployment, deployment
from tests.engine.engine import Engine
from tests.engine.pressing import Pressing
from tests.engine.projects import portside
from tests.installed import require_tools
from tests.journeys.raw import get
from tests.journeys.real.callers import FEW, MORE, Caller
from tests.protected.made import ask, bearer, call

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


def test_all_that_goes_on_running_is_healthy_and_the_migration_has_ended_well(ran: Deployment) -> None:
    statuses = ran.services()
    migrations = [statuses.pop(name) for name in (ran.container("migration"),) if name in statuses]
    assert all("healthy" in status for status in statuses.values()), statuses
    assert [status.startswith("Exited (0)") for status in migrations] == ([True] if is_balanced(ran) else [])


@pytest.mark.parametrize("caller", [*FEW, *MORE], ids=repr)
def test_clients_of_both_eras_call_through_tls_at_the_front_door(ran: Deployment, caller: Caller) -> None:
    require_tools()
    title = f"by {caller!r}"
    calls = [("add_note", {"title": title, "body": "by compose"})]
    seen = caller.call(ran.url, calls, token=ran.token, authority=ran.authority)
    (added,) = seen.results
    assert (seen.revision, added.is_error) == (caller.revision, False)
    assert added.structured is not None
    assert added.structured["title"] == title


def test_the_address_of_a_client_is_on_record_and_not_the_proxys(ran: Deployment) -> None:
    proxy, query = "haproxy" if is_balanced(ran) else "nginx", "an address of its own"
    request = call("search_notes", {"query": query}, token=ran.token, id="within", host=f"localhost:{ran.port}")
    address = ran.asked_from_within(proxy, request)
    assert address != ran.address(proxy)
    recorded = [one["event"] for one in ran.recorded() if query in json.dumps(one)]
    assert {one["origin"] for one in recorded} == {address}


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
