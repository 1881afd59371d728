"""Fleets as real processes: begun in a folder of their own, ended for certain, whatever became of their supervisor."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from portside.fleet.folder import Folder
from portside.fleet.process import kill_group
from portside.fleet.record import load, processes_of
from tests import proxies, servers
from tests.faults.effects import Effects
from tests.processes import ROOT, ServerFailed, free_port

COUNTING: Final = "tests/fleet/counting.py"
PATIENCE_S: Final = 40.0
_POLL_S: Final = 0.05


@dataclass
class Fleet:
    """A fleet in a folder; `up` starts a supervisor, `ask` runs any of its commands."""

    root: Path
    port: int
    stats_port: int
    proxy: str
    environment: Mapping[str, str]
    supervisor: "subprocess.Popen[bytes] | None" = None
    started: "list[subprocess.Popen[bytes]]" = field(default_factory=list["subprocess.Popen[bytes]"])

    @property
    def effects(self) -> Effects:
        """What the tools did."""
        return Effects(self.root / "effects")

    @property
    def folder(self) -> Folder:
        """The fleet's folder."""
        return Folder(self.root / "fleet")

    def arguments(self, *more: str, target: str = COUNTING) -> list[str]:
        """Return the arguments of `portside` that begin this fleet."""
        ports = ["--port", str(self.port), "--stats-port", str(self.stats_port), "--proxy", self.proxy]
        return ["fleet", "up", target, *ports, "--dir", str(self.folder.root), *more]

    def up(self, *more: str, target: str = COUNTING) -> None:
        """Start a supervisor in the foreground, and return once everything is as wanted."""
        with (self.root / "printed").open("ab") as output:
            self.supervisor = subprocess.Popen(
                [sys.executable, "-m", "portside", *self.arguments(*more, target=target)],
                cwd=ROOT,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.started.append(self.supervisor)
        self.wait(lambda: self.status().get("is_as_wanted") is True, "the fleet is as wanted")

    def ask(self, *arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run `portside fleet ARGUMENTS` on this fleet."""
        return self.run(*arguments, "--dir", str(self.folder.root), timeout_s=timeout_s)

    def run(self, *arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run `portside fleet ARGUMENTS`."""
        return subprocess.run(
            [sys.executable, "-m", "portside", "fleet", *arguments],
            cwd=ROOT, env=self._environment(), capture_output=True, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip

    def status(self) -> dict[str, Any]:
        """Return what the supervisor says, nothing where there is none; quicker than the command."""
        with suppress(FileNotFoundError, ConnectionRefusedError), socket.socket(socket.AF_UNIX) as control:
            control.settimeout(10)
            control.connect(str(self.folder.control))
            control.sendall(b'{"do":"status"}\n')
            with control.makefile("rb") as answer:
                return json.loads(answer.readline())["report"]
        return {}

    def pids(self) -> dict[str, int | None]:
        """Return the replicas' pids."""
        return {one["name"]: one["pid"] for one in self.status()["replicas"]}

    def wait(self, is_so: Callable[[], bool], what: str) -> None:
        """Return once something is so. Raises ServerFailed where it does not come to be."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if is_so():
                return
            if self.supervisor is not None and self.supervisor.poll() not in (None, 0, -signal.SIGKILL):
                break
            time.sleep(_POLL_S)  # other processes: there is nothing to wait on but what they say
        raise ServerFailed(f"not within {PATIENCE_S:.0f} s: {what}\n{self.printed()}")

    def printed(self) -> str:
        """Return what the supervisors printed, and the ends of all logs."""
        files = [self.root / "printed", *sorted((self.folder.root / "logs").glob("*.log"))]
        return "\n".join(
            f"-- {file.name}\n{file.read_text(errors='replace')[-3000:]}" for file in files if file.exists()
        )

    def close(self) -> None:
        """End everything, the hard way where need be."""
        with suppress(subprocess.TimeoutExpired):
            self.ask("down", timeout_s=60)
        for process in self.started:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()
        recorded = load(self.folder)
        if recorded is not None:
            others = [one for one in (recorded.supervisor, recorded.proxy, recorded.redis) if one is not None]
            for process in [*processes_of(recorded).values(), *others]:
                kill_group(process)

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME", "CI") if name in os.environ}
        own = {"RATE_LIMIT_MAX_REQUESTS": "0", "PORTSIDE_DRAIN_TIMEOUT_MS": "12000"}
        return {**kept, **own, **self.effects.environment, **self.environment}


@contextmanager
def fleet(proxy: str = "haproxy", **environment: str) -> Generator[Fleet]:
    """Give a fleet that has not begun, and end it. Skips where a server it needs is not installed."""
    if proxy == "haproxy" or proxy == "nginx":
        proxies.require(proxy)
    servers.require("redis-server")
    root = Path(tempfile.mkdtemp(prefix="portside-fleet-test-", dir="/tmp"))
    made = Fleet(root, free_port(), free_port(), proxy, environment)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(root)
