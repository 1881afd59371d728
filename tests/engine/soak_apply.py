"""`portside deploy apply` on a real engine: what is unchanged is left alone, the rest is replaced replica by replica.

And what fails goes back, while the replicas that were not touched go on answering.
"""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.engine.deployments import BALANCED, Deployment, deployment
from tests.engine.engine import Engine
from tests.engine.pressing import Pressing
from tests.engine.projects import NAME, SECRET, project
from tests.processes import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900)]

VERSION: Final = "1.1.0"
SERVERS: Final = tuple(f"server-{number}" for number in (1, 2, 3))
CALLERS: Final = 4
WORDS: Final = "this one cannot start"
BROKEN: Final = f"""ENTRYPOINT ["sh", "-c", "case $2 in db) exec $*;; esac; echo {WORDS} >&2; exit 3", "sh"]"""
"""The schema is upgraded as ever; it is the server that cannot start."""

WAIT_S: Final = 120.0


@pytest.fixture(scope="module")
def ran(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Generator[Deployment]:
    with deployment(engine, tmp_path_factory.mktemp("applied"), BALANCED, VERSION) as started:
        yield started


@pytest.fixture
def broken(ran: Deployment, tmp_path: Path) -> str:
    """The reference of an image whose containers end at once."""
    (tmp_path / "Dockerfile").write_text(f"FROM {NAME}:{VERSION}\n{BROKEN}\n")
    ran.engine.build(f"{NAME}:broken", tmp_path)
    return f"{NAME}:broken"


@pytest.fixture
def described(ran: Deployment) -> Generator[Path]:
    """The description, which is as it was after the test."""
    file = ran.project / "portside.toml"
    before = file.read_bytes()
    yield file
    file.write_bytes(before)


def test_a_second_apply_leaves_every_container_alone(ran: Deployment) -> None:
    before = containers(ran)
    done = deploy(ran, "apply", "compose", "--yes")
    assert done.returncode == 0, done.stderr
    assert "though no file has changed" in done.stdout
    assert containers(ran) == before
    assert looked(ran)["is_as_wanted"] is True


def test_a_container_that_is_gone_is_missed_and_comes_back_with_the_next_apply(ran: Deployment) -> None:
    ran.engine.docker("rm", "-f", ran.container("server-2"))
    status = looked(ran, code=5)
    assert (status["is_as_wanted"], status["missing"]) == (False, ["server-2"])
    assert deploy(ran, "apply", "compose", "--yes").returncode == 0
    assert looked(ran)["missing"] == []


async def test_another_release_is_rolled_out_replica_by_replica_and_no_call_fails(ran: Deployment) -> None:
    before = containers(ran)
    ran.engine.docker("tag", f"{NAME}:{VERSION}", f"{NAME}:1.1.1")
    another_image(ran.project / "portside.toml", f"{NAME}:1.1.1")
    async with Pressing(ran, CALLERS) as pressing:
        done = await asyncio.to_thread(deploy, ran, "apply", "compose", "--yes")
    print(f"{len(pressing.calls)} calls, {len(pressing.failed)} of them lost: {pressing.failed[:3]}")
    assert done.returncode == 0, done.stderr
    assert len(pressing.calls) > 10 * CALLERS
    assert pressing.failed == []
    after = containers(ran)
    assert sorted(name for name in after if after[name] != before[name]) == [*map(ran.container, SERVERS)]
    assert looked(ran)["is_as_wanted"] is True


def test_the_proxy_reads_a_configuration_that_has_changed(ran: Deployment) -> None:
    file = ran.project / "portside.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(
        text.replace('domains = ["localhost"]', 'domains = ["localhost", "notes.acme.io"]'), encoding="utf-8"
    )
    assert deploy(ran, "apply", "compose", "--yes").returncode == 0
    seen = ran.engine.docker("exec", ran.container("haproxy"), "cat", "/etc/portside/haproxy.cfg")
    assert "notes.acme.io" in seen
    assert seen == (ran.project / "deploy" / "compose" / "haproxy.cfg").read_text(encoding="utf-8")


async def test_a_release_that_cannot_start_goes_back_and_the_others_go_on(
    ran: Deployment, described: Path, broken: str
) -> None:
    before = containers(ran)
    another_image(described, broken)
    async with Pressing(ran, CALLERS) as pressing:
        done = await asyncio.to_thread(deploy, ran, "apply", "compose", "--yes")
    print(f"{len(pressing.calls)} calls, {len(pressing.failed)} of them lost: {pressing.failed[:3]}")
    assert done.returncode == 1, done.stderr
    assert WORDS in done.stderr
    assert "going back to" in done.stderr
    assert len(pressing.failed) <= CALLERS
    after = containers(ran)
    assert [name for name in after if after[name] != before[name]] == [ran.container("server-1")]
    assert looked(ran)["is_as_wanted"] is True
    (last, *_) = json.loads(deploy(ran, "history", "--json").stdout)
    assert last["outcome"] == "rolled_back"
    assert "server-1" in last["ended"]["error"]


def test_an_image_that_is_not_there_goes_back(ran: Deployment, described: Path) -> None:
    before = containers(ran)
    another_image(described, f"{NAME}:9.9.9")
    done = deploy(ran, "apply", "compose", "--yes")
    assert done.returncode == 1, done.stderr
    assert containers(ran) == before


def test_two_at_once_are_refused(ran: Deployment) -> None:
    with applying(ran) as first:
        lock = ran.project / ".portside" / "apply.lock"
        until(lambda: f'"pid":{first.pid}' in lock.read_text(encoding="utf-8"))
        second = deploy(ran, "apply", "compose", "--yes")
        assert second.returncode == 1
        assert f"locked: apply to compose by process {first.pid} on " in second.stderr
        _, said = first.communicate(timeout=WAIT_S)
    assert first.returncode == 0, said


def test_an_interrupted_apply_goes_back(ran: Deployment, described: Path) -> None:
    image = images(ran)[ran.container("server-3")]
    ran.engine.docker("tag", image, f"{NAME}:1.1.2")
    another_image(described, f"{NAME}:1.1.2")
    with applying(ran) as process:
        until(lambda: images(ran).get(ran.container("server-1")) == f"{NAME}:1.1.2")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1, said
    assert "interrupted by SIGINT" in said
    assert {images(ran)[ran.container(name)] for name in SERVERS} == {image}
    assert looked(ran)["is_as_wanted"] is True


def test_a_first_deployment_that_cannot_start_is_taken_down_but_for_its_volumes(
    ran: Deployment, broken: str, tmp_path: Path
) -> None:
    ports = f"http_port = {free_port()}\nhttps_port = {free_port()}\nstats_port = {free_port()}\n"
    table = f'[deploy.compose]\nsubnet = "172.29.158.0/24"\nnginx = "{broken}"\n{ports}'
    place = project(tmp_path, 'tls = "outside"', table)
    file = place / "portside.toml"
    file.write_text(file.read_text(encoding="utf-8").replace(f'name = "{NAME}"', 'name = "other"'), encoding="utf-8")
    another_image(file, broken)
    beside = place / "deploy" / "compose" / "secrets"
    beside.mkdir(parents=True)
    for name in ("JWT_SECRET", "ENCRYPTION_KEY"):
        (beside / name).write_text(SECRET)
    mine = "label=com.docker.compose.project=other"
    try:
        done = portside(place, ran.engine.environment, "apply", "compose", "--yes")
        assert done.returncode == 1, done.stderr
        assert "taken down again" in done.stderr
        assert ran.engine.docker("ps", "-aq", "--filter", mine) == ""
        assert ran.engine.docker("network", "ls", "-q", "--filter", mine) == ""
        kept = ran.engine.docker("volume", "ls", "-q", "--filter", mine).split()
        assert sorted(kept) == ["other_data", "other_logs"]
    finally:
        ran.engine.docker("compose", "-p", "other", "down", "-v", "--remove-orphans", "--timeout", "1")


def deploy(ran: Deployment, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `portside deploy` in the project and return how it ended; no secret is in what it printed."""
    return portside(ran.project, ran.engine.environment, *words)


def portside(place: Path, environment: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run `portside deploy` in any project."""
    command = [sys.executable, "-m", "portside", "deploy", *words]
    done = subprocess.run(
        command, cwd=place, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400
    )
    assert SECRET not in done.stdout + done.stderr
    return done


@contextmanager
def applying(ran: Deployment) -> Generator["subprocess.Popen[str]"]:
    """Apply in the background for the block; it has ended after it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "portside", "deploy", "apply", "compose", "--yes"],
        cwd=ran.project,
        env=ran.engine.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def looked(ran: Deployment, *, code: int = 0) -> Mapping[str, Any]:
    """Return what `deploy status` says, which ends with this code."""
    done = deploy(ran, "status", "compose", "--json")
    assert done.returncode == code, done.stdout + done.stderr
    (one,) = json.loads(done.stdout)
    return one


def containers(ran: Deployment) -> Mapping[str, str]:
    """Return id and start of every container by its name: another one of both has been replaced, or started anew.

    Not of the migration's, which runs with every apply and ends.
    """
    told = _told(ran, "{{.Id}} {{.State.StartedAt}}")
    return {name: what for name, what in told.items() if name != ran.container("migration")}


def images(ran: Deployment) -> Mapping[str, str]:
    """Return what every container runs, by its name."""
    return _told(ran, "{{.Config.Image}}")


def _told(ran: Deployment, what: str) -> Mapping[str, str]:
    ids = ran.engine.docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={NAME}").split()
    rows = ran.engine.docker("inspect", "--format", "{{.Name}} " + what, *ids).splitlines()
    return {name.removeprefix("/"): rest for name, _, rest in (row.partition(" ") for row in rows)}


def another_image(file: Path, image: str) -> None:
    """Have a description name another image."""
    lines = file.read_text(encoding="utf-8").splitlines()
    changed = [f'image = "{image}"' if line.startswith("image = ") else line for line in lines]
    assert changed != lines
    file.write_text("\n".join(changed) + "\n", encoding="utf-8")


def until(is_so: Callable[[], bool]) -> None:
    """Wait for another process to have done something. Raises TimeoutError."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if is_so():
            return
        time.sleep(0.05)  # another process: there is nothing to wait on but what it leaves
    raise TimeoutError("it was never so")
