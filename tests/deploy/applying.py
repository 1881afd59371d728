"""`portside deploy` with stand-ins for the platforms' programs, in a project that can be applied anywhere."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cli.commands import run
from tests.deploy.describing import changed
from tests.deploy.standins import CANARY, StandIns, containers, deployed, path

ECS: Final = """
[deploy.ecs]
cluster = "main"
subnets = ["subnet-0123456789abcdef0"]
security_groups = ["sg-0123456789abcdef0"]
"""

UP: Final = "docker compose -p weather -f compose/compose.yaml up --detach --wait --wait-timeout 300"
FIRST: Final = f"{UP} --remove-orphans"
BACK: Final = f"{FIRST} --no-deps redis postgres server-1 server-2 server-3 haproxy"
DOWN: Final = "docker compose -p weather -f compose/compose.yaml down --remove-orphans"
MIGRATE: Final = "docker compose -p weather -f compose/compose.yaml run --rm --no-deps --no-TTY migration"
ROLL: Final = [f"{UP} redis postgres", MIGRATE, *(f"{UP} --no-deps server-{number}" for number in (1, 2, 3)), FIRST]


@pytest.fixture
def stand_ins(tmp_path: Path) -> StandIns:
    """Stand-ins of every platform's program."""
    return StandIns(tmp_path / "bin")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that can be applied anywhere."""
    folder = tmp_path / "project"
    folder.mkdir()
    deployed(folder, changed({}, ECS))
    return folder


def deploy(
    project: Path, stand_ins: StandIns, *arguments: str, code: int = 0, environ: Mapping[str, str] | None = None
) -> tuple[str, str]:
    """Run `portside deploy ARGUMENTS`, which ends with this code; return both its outputs, which hold no secret."""
    done = run("deploy", *arguments, cwd=project, PATH=path(stand_ins), **(environ or {}))
    assert done.returncode == code, done.stdout + done.stderr
    assert CANARY not in done.stdout + done.stderr
    return done.stdout, done.stderr


def applied(project: Path, stand_ins: StandIns, platform: str = "compose") -> None:
    """Apply once, with all well, and have everything run from then on."""
    deploy(project, stand_ins, "apply", platform, "--yes")
    stand_ins.reset()
    stand_ins.answer("ps", out=containers())


def records(project: Path, stand_ins: StandIns) -> list[Mapping[str, Any]]:
    """Return the history, the last one first."""
    return json.loads(deploy(project, stand_ins, "history", "--json")[0])
