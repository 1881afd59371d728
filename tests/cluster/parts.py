"""Programs of a cluster as real processes: each with its log in a file, each ended for certain."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.processes import ROOT

INSTALLED: Final = ROOT / ".cache" / "cluster"
BIN: Final = INSTALLED / "bin"
START_S: Final = 90.0
_STOP_S: Final = 15.0


class PartFailed(Exception):
    """A part of a cluster ended, or was not ready in time; says which, and what it printed last."""


@contextmanager
def part(
    folder: Path,
    command: Sequence[str | Path],
    is_ready: Callable[[], bool],
    *,
    environment: Mapping[str, str] | None = None,
) -> Generator["subprocess.Popen[bytes]"]:
    """Run a program for the block, which begins once it `is_ready`; its log is named after it. Raises PartFailed."""
    name = Path(command[0]).name
    log = folder / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        until(is_ready, START_S, lambda: f"{name}: {tail(log)}", unless=lambda: process.poll() is not None)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(
    is_so: Callable[[], bool], within_s: float, why: Callable[[], str], *, unless: Callable[[], bool] = lambda: False
) -> None:
    """Wait for another process to have done something. Raises PartFailed, which tells `why`, after that or `unless`."""
    deadline = time.monotonic() + within_s
    while not is_so():
        if unless() or time.monotonic() > deadline:
            raise PartFailed(f"not so within {within_s:g} s: {why()}")
        time.sleep(0.1)  # another process: there is nothing to wait on but what it says


def tail(log: Path) -> str:
    """Return the last of what was printed."""
    return log.read_text(encoding="utf-8", errors="replace")[-3000:]


def require_cluster() -> None:
    """Skip the calling test where no cluster is installed, which CI turns into a failure."""
    if not (INSTALLED / "stamp").exists() or os.getuid() != 0:
        pytest.skip("no cluster here: run tests/install-cluster as root")
    if shutil.which("dnsmasq", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        pytest.skip("dnsmasq is missing: run tests/install-cluster as root")
