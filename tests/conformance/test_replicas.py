"""The official conformance suite through HAProxy with three replicas and no stickiness at all.

Every request goes to the next replica, so that two of three belong to another one. Source of every expectation: the
requirement sets frozen in @modelcontextprotocol/conformance 0.2.0-alpha.12.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.conformance.suite import score
from tests.conformance.test_conformance import FOLDER, HELD, LEGACY, MODERN, NOT_IN_FASTMCP, SCORED
from tests.conformance.test_families import CANNOT_PASS
from tests.families.environments import ENVIRONMENTS, python_of
from tests.faults.replicas import Cluster, replicas
from tests.installed import require_tools
from tests.processes import free_port, serving

pytestmark = pytest.mark.anyio

KINDS: Final = ("v2", "lowlevel", "fastmcp", "child", "upstream", "asgi", "v1", "fastmcp3")
NOTHING: Final = frozenset[str]()


@asynccontextmanager
async def deployed(kind: str) -> AsyncGenerator[Cluster]:
    """Three replicas of the fixture of a kind, behind HAProxy."""
    arguments: tuple[str, ...] = ()
    python: Path | None = None
    with ExitStack() as stack:
        if kind in ENVIRONMENTS:
            target, python = f"tests/families/fixture_{kind}.py:mcp", python_of(ENVIRONMENTS[kind])
        elif kind == "child":
            target, arguments = f"{FOLDER}/fixture_v2.py:mcp", ("--python", sys.executable)
        elif kind == "upstream":
            port = free_port()
            alone = [sys.executable, str(FOLDER / "alone.py"), "fixture_v2", "--port", str(port)]
            stack.enter_context(serving(alone, port, codes=[-signal.SIGTERM]))
            target = f"http://127.0.0.1:{port}/mcp"
        elif kind == "asgi":
            target = f"{FOLDER}/asgi.py:app"
        else:
            target = f"{FOLDER}/fixture_{kind}.py:mcp"
        async with replicas(3, server=target, arguments=arguments, python=python, proxy="roundrobin") as cluster:
            yield cluster


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS)
async def test_three_replicas_without_stickiness_pass_what_one_passes(kind: str, tmp_path: Path) -> None:
    """Spec: how many processes answer may not cost a scenario."""
    require_tools()
    async with deployed(kind) as cluster:
        for revision in (MODERN, LEGACY):
            failing = frozenset(CANNOT_PASS[revision]) if kind in ENVIRONMENTS else NOTHING
            failing |= NOT_IN_FASTMCP[revision] if kind == "fastmcp" else NOTHING
            output = tmp_path / revision
            output.mkdir()
            result = await asyncio.to_thread(score, cluster.port, revision, output, timeout_s=140)
            found = result.failing(HELD)
            assert SCORED[revision] == result.scored
            assert failing == found, f"{result.report(found - failing)}\n\nThe servers printed:\n{cluster.printed()}"
