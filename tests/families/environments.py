"""The environments `tests/install-families` has built, or why a test cannot run without one.

FAMILY_PYTHON names another interpreter that has the family's SDK and portside; noxfile.py tries other versions so.
"""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import pytest

from tests.installed import run
from tests.processes import ROOT, Serving, free_port, serving

Environment = Literal["sdk1", "fastmcp3", "third-party"]

FAMILIES: Final = ROOT / ".cache" / "families"

ENVIRONMENTS: Final[dict[str, Environment]] = {"v1": "sdk1", "fastmcp3": "fastmcp3"}
"""Which environment has the SDK of a family's servers."""


def python_of(environment: Environment) -> Path:
    """Return the environment's interpreter; skip the calling test without one, fail it where CI says it must be."""
    other = os.environ.get("FAMILY_PYTHON")
    python = Path(other) if other else FAMILIES / environment / "bin" / "python"
    if not python.exists():
        reason = f"{python} is missing: run tests/install-families"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return python


@cache
def driven(family: str) -> dict[str, Any]:
    """Return what came of every scenario with a family's adapter, scenario to result; driven once for all tests."""
    python = python_of(ENVIRONMENTS[family])
    done = run([python, "-W", "error", "-m", "tests.families.drive", family])
    assert done.returncode == 0, done.stderr[-8000:]
    assert "was never awaited" not in done.stderr
    assert "ResourceWarning" not in done.stderr
    return msgspec.json.decode(done.stdout, type=dict[str, Any])


@contextmanager
def portside_of(
    environment: Environment, target: str, *, settings: Mapping[str, str] | None = None
) -> Generator[Serving]:
    """Run `portside serve TARGET` by the environment's interpreter for the block, from the repository's root."""
    port = free_port()
    command = [str(python_of(environment)), "-m", "portside", "serve", target, "--host", "127.0.0.1"]
    unlimited = {"RATE_LIMIT_MAX_REQUESTS": "0", **(settings or {})}
    with serving([*command, "--port", str(port)], port, environment=unlimited) as server:
        yield server
