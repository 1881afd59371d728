"""The rendered Dockerfile, unmodified, on a real engine: built, run as strictly as Compose runs it, stopped."""

import json
import re
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

import pytest

from tests.engine.engine import BASE, Engine
from tests.engine.projects import SECRET, Image

pytestmark = pytest.mark.timeout(900)

MOST_MB: Final = 200
READY_S: Final = 5.0
STRICT: Final = (
    *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true", "--pids-limit", "512"),
    *("--tmpfs", "/tmp:size=64m", "--tmpfs", "/app/tmp:size=256m,mode=0700,uid=1001,gid=1001"),
    *("--tmpfs", "/app/data:uid=1001,gid=1001", "--health-interval", "1s", "--health-start-interval", "1s"),
)


def test_the_engine_starts(engine: Engine) -> None:
    assert engine.docker("info", "--format", "{{.ServerVersion}}").startswith("26.")
    assert "hello" in engine.docker("run", "--rm", "--network=none", BASE, "echo", "hello")


def test_an_image_adds_less_than_200_mb_to_its_base(engine: Engine, image: Image) -> None:
    added_mb = (_size(engine, image.tag) - _size(engine, BASE)) / 1_000_000
    print(f"the image adds {added_mb:.0f} MB to its base")
    assert added_mb < MOST_MB


def test_nothing_secret_and_nothing_of_the_builder_is_in_it(engine: Engine, image: Image) -> None:
    told = engine.docker("history", "--no-trunc", image.tag) + engine.docker("inspect", image.tag)
    assert SECRET not in told
    found = engine.docker("run", "--rm", "--network=none", image.tag, "sh", "-c", "ls -A /app; ls /; id -u").split()
    assert "1001" in found
    assert not {".env", "portside.toml", "secrets", "wheels", "Dockerfile"} & set(found)


@pytest.mark.timing
def test_a_read_only_container_of_nobody_is_ready_within_5_s_and_becomes_healthy(engine: Engine, image: Image) -> None:
    with running(engine, image) as name:
        ready_s = _until_ready(engine, name)
        print(f"ready {ready_s:.1f} s after it was started")
        assert ready_s < READY_S
        _until(lambda: _inspected(engine, name, "{{.State.Health.Status}}") == "healthy", 30)
        assert engine.docker("exec", name, "id", "-u").strip() == "1001"
        assert "Read-only" in _complaint(engine, name, "touch /app/here")
        assert _inspected(engine, name, "{{.State.OOMKilled}}") == "false"


def test_a_container_that_is_told_to_stop_ends_well_and_soon(engine: Engine, image: Image) -> None:
    with running(engine, image) as name:
        _until_ready(engine, name)
        begin = time.monotonic()
        engine.docker("stop", "--time", "40", name)
        print(f"stopped after {time.monotonic() - begin:.1f} s")
        assert _inspected(engine, name, "{{.State.ExitCode}}") == "0"
        assert time.monotonic() - begin < 30


@contextmanager
def running(engine: Engine, image: Image) -> Generator[str]:
    """Run a container for the block; return its name."""
    secrets = ("-e", f"JWT_SECRET={SECRET}", "-e", f"ENCRYPTION_KEY={SECRET[::-1]}")
    public = ("-e", "PORTSIDE_PUBLIC_URL=https://localhost")
    name = engine.docker("run", "-d", *STRICT, *secrets, *public, image.tag).strip()
    try:
        yield name
    finally:
        engine.docker("rm", "-f", name)


def _size(engine: Engine, image: str) -> int:
    return int(_inspected(engine, image, "{{.Size}}"))


def _inspected(engine: Engine, name: str, what: str) -> str:
    return engine.docker("inspect", "--format", what, name).strip()


def _complaint(engine: Engine, name: str, command: str) -> str:
    return engine.docker("exec", name, "sh", "-c", f"{command} 2>&1 || true")


def _until_ready(engine: Engine, name: str) -> float:
    """Wait until the server has said that it is ready; return how long that was after the container's start."""
    _until(lambda: '"serve.ready"' in engine.logs(name), 30)
    logged = [json.loads(line) for line in engine.logs(name).splitlines() if line.startswith("{")]
    (said,) = [line["timestamp"] for line in logged if line["event"] == "serve.ready"]
    return _seconds(said) - _seconds(_inspected(engine, name, "{{.State.StartedAt}}"))


def _seconds(moment: str) -> float:
    """Return the seconds of a day in a moment (ISO 8601)."""
    hours, minutes, seconds = re.findall(r"T(\d+):(\d+):([\d.]+)", moment)[0]
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _until(is_so: Callable[[], bool], within_s: float) -> None:
    until = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > until:
            raise AssertionError(f"not so after {within_s:g} s")
        time.sleep(0.1)  # another process: there is nothing to wait on but its answer
