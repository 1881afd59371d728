"""What `tests/install-tools` has installed, or why a test cannot run without it."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from tests.processes import ROOT

TOOLS: Final = ROOT / ".cache" / "tools"
NODE: Final = TOOLS / "bin" / "node"
PACKAGES: Final = TOOLS / "npm"
PYTHON_V1: Final = TOOLS / "client-v1" / "bin" / "python"
SERVERS: Final = TOOLS / "servers"


def require_tools() -> None:
    """Skip the calling test where the tools are not installed; fail it where CI says they must be."""
    wanted = (NODE, PACKAGES / "node_modules", PYTHON_V1, SERVERS / "bin" / "mcp-server-time")
    missing = [path for path in wanted if not path.exists()]
    if not missing:
        return
    reason = f"{missing[0].relative_to(ROOT)} is missing: run tests/install-tools"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def package_file(*parts: str) -> str:
    """Return the path of a file of an installed npm package."""
    return str(PACKAGES.joinpath("node_modules", *parts))


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path = ROOT,
    environment: Mapping[str, str] | None = None,
    script: str = "",
    timeout_s: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run a program of the tools to its end, with `script` as its input and `environment` added to ours.

    Nothing of it is left after a time-out. Raises subprocess.TimeoutExpired.
    """
    with subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(script, timeout=timeout_s)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
