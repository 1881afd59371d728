"""The official conformance suite with the fixture outside portside's process: as a child, far away, as an ASGI app.

Source of every expectation: the requirement sets frozen in @modelcontextprotocol/conformance 0.2.0-alpha.12.
"""

import signal
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.conformance.suite import score
from tests.conformance.test_conformance import FOLDER, HELD, SCORED, revisions
from tests.installed import require_tools
from tests.processes import Serving, free_port, portside, serving

FIXTURE = f"{FOLDER}/fixture_v2.py:mcp"


@pytest.fixture(scope="module", params=["child", "upstream", "asgi"])
def outside(request: pytest.FixtureRequest) -> Generator[Serving]:
    """portside in front of the fixture, which runs elsewhere."""
    require_tools()
    if request.param == "child":
        with portside(FIXTURE, "--python", sys.executable) as server:
            yield server
    elif request.param == "asgi":
        with portside(f"{FOLDER}/asgi.py:app") as server:
            yield server
    else:
        port = free_port()
        alone = [sys.executable, str(FOLDER / "alone.py"), "fixture_v2", "--port", str(port)]
        with serving(alone, port, codes=[-signal.SIGTERM]), portside(f"http://127.0.0.1:{port}/mcp") as server:
            yield server


@pytest.mark.timeout(300)  # a child for each session, and each imports the SDK
@revisions
def test_a_server_outside_this_process_passes_every_scenario(outside: Serving, revision: str, tmp_path: Path) -> None:
    """Spec: nothing between client and server may cost a scenario."""
    result = score(outside.port, revision, tmp_path, timeout_s=280)

    failing = result.failing(HELD)
    assert SCORED[revision] == result.scored
    assert not failing, f"{result.report(failing)}\n\nThe server printed:\n{outside.printed()}"
    assert all(scenario.checks for scenario in result.scenarios if scenario.unscored in HELD)
