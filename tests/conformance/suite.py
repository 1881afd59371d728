"""Runs the official conformance suite against a URL and reads what it found."""

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from tests.installed import NODE, package_file, run

Revision = str
_SCENARIO: Final = re.compile(r"^[✓✗] ([\w-]+): \d+ passed, \d+ failed", re.MULTILINE)
_UNSCORED: Final = re.compile(r"^  [✓✗] ([\w-]+) \(([\w-]+)\)", re.MULTILINE)
_STAMP: Final = re.compile(r"-\d{4}-\d\d-\d\dT[\d-]+Z$")


class SuiteFailed(Exception):
    """The suite itself did not run to its end; says what it printed."""


class Check(msgspec.Struct, rename="camel"):
    """One check of a scenario, as the suite writes it to checks.json."""

    id: str
    status: str
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario of a requirement set and what came of it.

    `unscored` says why it does not count ("pending", "extension", "added-after-release"); None means that it counts.
    """

    name: str
    unscored: str | None
    checks: tuple[Check, ...]

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed; a scenario passes without any."""
        return tuple(check for check in self.checks if check.status == "FAILURE")


@dataclass(frozen=True, slots=True)
class Score:
    """What a server scored on one revision's requirement set."""

    revision: Revision
    scenarios: tuple[Scenario, ...]

    @property
    def scored(self) -> int:
        """How many scenarios count."""
        return sum(scenario.unscored is None for scenario in self.scenarios)

    @property
    def passed(self) -> frozenset[str]:
        """The scenarios that passed, whether they count or not; one without any successful check is not among them."""
        return frozenset(
            scenario.name
            for scenario in self.scenarios
            if not scenario.failures and any(check.status == "SUCCESS" for check in scenario.checks)
        )

    def failing(self, reasons: Iterable[str | None] = (None,)) -> frozenset[str]:
        """Return the scenarios that failed among those with one of these `unscored` reasons."""
        wanted = frozenset(reasons)
        return frozenset(
            scenario.name for scenario in self.scenarios if scenario.failures and scenario.unscored in wanted
        )

    def report(self, names: Iterable[str]) -> str:
        """Return the failing checks of these scenarios, a line each."""
        wanted = frozenset(names)
        return "\n".join(
            f"{self.revision} {scenario.name}: {check.id}: {check.error_message}"
            for scenario in self.scenarios
            if scenario.name in wanted
            for check in scenario.failures
        )


def score(port: int, revision: Revision, output: Path, *, timeout_s: float = 120) -> Score:
    """Run the requirement set of `revision` against `/mcp` on `port`; `output` is an empty folder for its files.

    The server is addressed as localhost, since the suite's host check wants that name. Raises SuiteFailed where a
    scenario left no result, or the suite has not ended in time.
    """
    command = [
        NODE,
        package_file("@modelcontextprotocol", "conformance", "dist", "index.js"),
        *("server", "--url", f"http://localhost:{port}/mcp", "--requirements", revision, "-o", output),
    ]
    try:
        done = run(command, timeout_s=timeout_s)
    except subprocess.TimeoutExpired as late:
        so_far = sorted(_STAMP.sub("", file.parent.name) for file in output.glob("*/checks.json"))
        raise SuiteFailed(f"{revision}: not ended within {timeout_s:g} s; results so far: {so_far}") from late
    names = _SCENARIO.findall(done.stdout)
    unscored = dict(_UNSCORED.findall(done.stdout))
    checks = {_STAMP.sub("", file.parent.name).removeprefix("server-"): file for file in output.glob("*/checks.json")}
    if not names or not checks.keys() >= set(names):
        raise SuiteFailed(
            f"{revision}: the suite ended with code {done.returncode}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        )
    return Score(revision, tuple(Scenario(name, unscored.get(name), _read(checks[name])) for name in names))


def _read(file: Path) -> tuple[Check, ...]:
    return msgspec.json.decode(file.read_bytes(), type=tuple[Check, ...])
