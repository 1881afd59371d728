"""The official conformance suite against servers of SDK v1 and fastmcp 3, alone and behind portside.

Source of every expectation: the requirement sets frozen in @modelcontextprotocol/conformance 0.2.0-alpha.12. These SDKs
speak the legacy era only, so behind portside the modern scenarios are those of the translation.
"""

import signal
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

from tests.conformance.suite import Score, score
from tests.conformance.test_conformance import HELD, LEGACY, MODERN, SCORED
from tests.families.environments import ENVIRONMENTS, portside_of, python_of
from tests.installed import require_tools
from tests.processes import Serving, free_port, serving

CANNOT_PASS: Final = {
    LEGACY: dict[str, str](),
    MODERN: {
        "input-required-result-basic-elicitation": "it expects the question under the key its author chose, and a "
        "question in the middle of a legacy call has no key: portside numbers them",
    },
}
"""Scenario to the reason why no translation can pass it, in each revision."""

FAMILIES: Final = ("v1", "fastmcp3")

revisions = pytest.mark.parametrize("revision", [MODERN, LEGACY])


@pytest.fixture(autouse=True)
def _tools() -> None:  # pyright: ignore[reportUnusedFunction]  # pytest uses it
    require_tools()


@pytest.fixture(params=FAMILIES)
def alone(request: pytest.FixtureRequest) -> Generator[Serving]:
    """Each fixture on its own SDK's HTTP app."""
    require_tools()
    family, port = request.param, free_port()
    python = str(python_of(ENVIRONMENTS[family]))
    command = [python, "-m", "tests.families.alone", f"fixture_{family}", str(port)]
    with serving(command, port, codes=[-signal.SIGTERM]) as server:  # bare uvicorn ends by the signal it was sent
        yield server


@pytest.fixture(scope="module", params=FAMILIES)
def behind(request: pytest.FixtureRequest) -> Generator[Serving]:
    """Each fixture behind portside, in one process of its own interpreter."""
    require_tools()
    with portside_of(ENVIRONMENTS[request.param], f"tests/families/fixture_{request.param}.py:mcp") as server:
        yield server


def test_fixture_is_conformant_on_its_own_sdk(alone: Serving, tmp_path: Path) -> None:
    """Ours: what portside is measured against must itself be sound, or a drop would not be portside's."""
    _expect(score(alone.port, LEGACY, tmp_path), alone, failing=frozenset())


@revisions
def test_server_behind_portside_passes_every_scenario_of_both_eras(
    behind: Serving, revision: str, tmp_path: Path
) -> None:
    """Spec, but for what cannot be passed by translation."""
    _expect(score(behind.port, revision, tmp_path), behind, failing=frozenset(CANNOT_PASS[revision]))


def _expect(result: Score, server: Serving, *, failing: frozenset[str]) -> None:
    found = result.failing(HELD)
    assert SCORED[result.revision] == result.scored
    assert failing == found, f"{result.report(found - failing)}\n\nThe server printed:\n{server.printed()}"
    assert all(scenario.checks for scenario in result.scenarios if scenario.unscored in HELD)
