"""Prometheus as a real process that watches replicas of this machine with the files that are rendered."""

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import yaml

from portside.targets import dump
from portside.targets.observability import files, scraping
from portside.targets.spec import Spec
from tests.processes import ServerFailed, free_port
from tests.servers import require

_START_S: Final = 30.0
_POLL_S: Final = 0.05
_LOCAL: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Prometheus:
    """One that runs."""

    def __init__(self, port: int) -> None:
        self._origin = f"http://127.0.0.1:{port}"

    def query(self, expression: str) -> list[Any]:
        """Return the samples of an expression, now."""
        found: list[Any] = self.get(f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}")["result"]
        return found

    def rules(self) -> dict[str, Any]:
        """Return every rule as it was evaluated last, by its name."""
        return {rule["name"]: rule for group in self.get("/api/v1/rules")["groups"] for rule in group["rules"]}

    def targets(self) -> list[Any]:
        """Return whom it scrapes, and how that went last."""
        found: list[Any] = self.get("/api/v1/targets")["activeTargets"]
        return found

    def get(self, path: str) -> Any:
        """Return what the API answers."""
        with _LOCAL.open(self._origin + path, timeout=10) as answer:
            return json.load(answer)["data"]

    def is_ready(self) -> bool:
        """Whether it answers."""
        with suppress(OSError), _LOCAL.open(f"{self._origin}/-/ready", timeout=2) as answer:
            return answer.status == 200
        return False


@contextmanager
def watching(spec: Spec, ports: Sequence[int], token: str, folder: Path) -> Generator[Prometheus]:
    """Run Prometheus for the block, with a deployment's own files but for where replicas are and how often it asks.

    Skips the calling test where it is not installed.
    """
    program = require("prometheus")
    for file in files.render(spec):
        (folder / file.path.rpartition("/")[2]).write_text(file.text)
    (folder / scraping.TOKEN_FILE).write_text(token)
    whole: Any = yaml.safe_load((folder / "prometheus.yml").read_text())
    (job,) = whole["scrape_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in ports]}]
    whole["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    job |= {"scrape_interval": "1s", "scrape_timeout": "1s"}
    (folder / "prometheus.yml").write_text(dump.yaml(whole))
    port = free_port()
    command = [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield _awaited(process, Prometheus(port), folder / "log")
    finally:
        process.kill()
        process.wait()


def _awaited(process: subprocess.Popen[bytes], started: Prometheus, log: Path) -> Prometheus:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        if started.is_ready():
            return started
        time.sleep(_POLL_S)  # another process: there is nothing to wait on but its answer
    raise ServerFailed(f"Prometheus did not start:\n{log.read_text(errors='replace')[-4000:]}")
