"""What protection costs: portside with nothing, with each feature alone and with all, next to the bare SDK."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

from failure import BenchFailure
from figures import Bar, Spread, added_us, heading, load_line, ratio, ratio_lines, rounds_document
from hops import Pace
from load import Caller, Load, Slice, open_session, wait_for
from memory import end_sessions
from process import Cores, ServerProcess
from sides import INHERITED, Side, server
from wire import FIRST_ID, Era, Frame, call_frame, check_echo

MOST = 0.333
"""The bar: a third of the official SDK's default application, with everything on."""

SECRET = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

OFF = {
    "METRICS_ENABLED": "false",
    "PORTSIDE_REQUEST_LOG": "false",
    "PORTSIDE_VALIDATE_ARGUMENTS": "false",
    "RATE_LIMIT_MAX_REQUESTS": "0",
}


class Feature(StrEnum):
    """A server of the comparison."""

    SDK = "sdk"
    NOTHING = "nothing"
    METRICS = "metrics"
    LOG = "request log"
    JWT = "JWT"
    RATE = "rate limit"
    AUDIT = "audit"
    ALL = "all together"
    UNCHECKED = "low level"
    CHECKED = "validation"


BASES = {Feature.CHECKED: Feature.UNCHECKED}
"""What a feature is compared with where that is not `nothing`: only a low-level server needs its arguments checked."""

SIGNED = frozenset({Feature.JWT, Feature.ALL})

SETTINGS: Mapping[Feature, Mapping[str, str]] = {
    Feature.NOTHING: {},
    Feature.METRICS: {"METRICS_ENABLED": "true"},
    Feature.LOG: {"PORTSIDE_REQUEST_LOG": "true", "LOG_LEVEL": "info"},
    Feature.JWT: {"JWT_SECRET": SECRET, "PORTSIDE_PUBLIC_URL": "https://bench.example.com"},
    # 50,000 calls a second are never reached; a tenfold limit costs a little more than the default one of 100.
    Feature.RATE: {"RATE_LIMIT_MAX_REQUESTS": "1000", "RATE_LIMIT_WINDOW_MS": "20"},
    Feature.AUDIT: {"PORTSIDE_AUDIT": "file"},
    Feature.UNCHECKED: {},
    Feature.CHECKED: {"PORTSIDE_VALIDATE_ARGUMENTS": "true"},
}


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """One line of the tables."""

    feature: Feature
    era: Era


@dataclass(frozen=True, slots=True)
class Features:
    """What was measured, one slice per round, with so many connections."""

    slices: dict[FeatureRow, list[Slice]] = field(default_factory=dict[FeatureRow, list[Slice]])
    connections: int = 0


class Signed(Caller):
    """A caller that shows a token with every request."""

    def __init__(self, numbers: int, token: str) -> None:
        """Make a caller whose calls are numbered from `numbers` on."""
        super().__init__(numbers)
        self._header = b"\r\nAuthorization: Bearer " + token.encode() + b"\r\n"

    def send(self, request: bytes) -> None:
        """Write one request with the token in its head. Raises BenchFailure when there is no connection."""
        super().send(signed(request, self._header))


def signed(request: bytes, header: bytes) -> bytes:
    """Return `request` with a header line after its first line; `header` begins and ends with a line's end."""
    return request.replace(b"\r\n", header, 1)


async def measure_features(pace: Pace, cores: Cores, say: Callable[[str], None]) -> Features:
    """Put load on every feature in every round, with new processes in each round. Raises BenchFailure."""
    rows = [FeatureRow(feature, era) for era in Era for feature in Feature]
    slices: dict[FeatureRow, list[Slice]] = {row: [] for row in rows}
    with tempfile.TemporaryDirectory(prefix="portside-bench-") as folder:
        key = Path(folder) / "audit.key"
        run("audit", "init-key", str(key))
        token = run("token", "issue", "--subject", "bench", env=SETTINGS[Feature.JWT])
        for number in range(pace.rounds):
            say(f"features, round {number + 1} of {pace.rounds}")
            with ExitStack() as stack:
                servers: dict[Feature, ServerProcess] = {}
                for feature in Feature:
                    where = Path(folder) / f"{number}-{feature.name.lower()}"
                    servers[feature] = stack.enter_context(feature_server(feature, cores.server, where, key))
                    await ready(servers[feature], token)
                for row in rows if number % 2 == 0 else reversed(rows):  # A B, then B A: drift hits both alike
                    slices[row].append(await measure_feature(servers[row.feature], row, token, pace))
    return Features(slices, pace.connections)


def feature_server(feature: Feature, core: int | None, folder: Path, key: Path) -> ServerProcess:
    """Return the process that serves with `feature`, not yet started; it keeps what it keeps in `folder`."""
    if feature is Feature.SDK:
        return server(Side.SDK, core)
    settings = OFF | {"PORTSIDE_DATA_DIR": str(folder), "PORTSIDE_AUDIT_KEY_PATH": str(key)}
    for one in Feature if feature is Feature.ALL else (feature,):
        settings |= SETTINGS.get(one, {})
    target = "echo_lowlevel.py" if feature in (Feature.UNCHECKED, Feature.CHECKED) else "echo_server.py"
    return server(Side.PORTSIDE, core, target=target, settings=settings)


async def ready(process: ServerProcess, token: str) -> None:
    """Wait until a signed call is answered. Raises BenchFailure."""
    header = b"\r\nAuthorization: Bearer " + token.encode() + b"\r\n"
    request = signed(call_frame(process.host, Era.NEW, "echo", None).fill(FIRST_ID), header)
    await wait_for(process, request, lambda response: check_echo(response, FIRST_ID))


async def measure_feature(process: ServerProcess, row: FeatureRow, token: str, pace: Pace) -> Slice:
    """Warm one row up, measure it, and end its sessions."""
    sessions: list[str] = []
    callers: list[tuple[Caller, Frame]] = []
    loop = asyncio.get_running_loop()
    make = partial(Signed, token=token) if row.feature in SIGNED else Caller
    for index in range(pace.connections):
        numbers = FIRST_ID + index * 1_000_000  # no two connections ever send the same id or text
        _, caller = await loop.create_connection(partial(make, numbers), "127.0.0.1", process.port)
        session = await open_session(caller, process.host) if row.era is Era.OLD else None
        callers.append((caller, call_frame(process.host, row.era, "echo", session)))
        if session is not None and row.feature not in SIGNED:
            sessions.append(session)
    load = Load(process, callers)
    try:
        await load.run(pace.warm_up_s)
        measured = await load.run(pace.slice_s)
    finally:
        load.close()
    await end_sessions(process, sessions)
    return measured


def run(*arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Return what a command of portside printed. Raises BenchFailure where it fails."""
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    command = [sys.executable, "-m", "portside", *arguments]
    done = subprocess.run(command, env=kept | dict(env or {}), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchFailure(f"portside {' '.join(arguments)} ended with code {done.returncode}: {done.stderr}")
    return done.stdout.strip()


# -- the report ---------------------------------------------------------------------------------


def feature_tables(features: Features) -> list[str]:
    """Return one table for each era: every feature, what it adds to a call, and all of them next to the SDK."""
    tables: list[str] = []
    for era in dict.fromkeys(row.era for row in features.slices):
        lines = [f"features, {era.value} era, tools/call echo, {features.connections} connections", heading()]
        lines += [load_line(row.feature.value, pieces) for row, pieces in features.slices.items() if row.era is era]
        lines.append("  added to a call, CPU µs, median (lowest-highest round)")
        lines += [f"    {feature.value:<12}{spread}" for feature, spread in added(features, era).items()]
        lines += ratio_lines("sdk", *_pair(features, Feature.ALL, era))
        tables.append("\n".join(lines))
    return tables


def added(features: Features, era: Era) -> dict[Feature, Spread]:
    """Return what each feature adds to the CPU of one call, µs."""
    found: dict[Feature, Spread] = {}
    for feature in Feature:
        base = BASES.get(feature, Feature.NOTHING)
        if feature not in (Feature.SDK, Feature.NOTHING, Feature.UNCHECKED):
            ours, theirs = _of(features, feature, era), _of(features, base, era)
            found[feature] = added_us(ours, theirs)
    return found


def feature_bars(features: Features) -> list[Bar]:
    """Return the bars this run can judge."""
    found: list[Bar] = []
    for era in dict.fromkeys(row.era for row in features.slices):
        measured = ratio(*_pair(features, Feature.ALL, era), attrgetter("whole_s_per_1000")).median
        promise = f"CPU per call with that of kernel threads, {era.value} era, everything on, portside : SDK"
        found.append(Bar(promise, MOST, measured, ""))
    return found


def feature_document(features: Features) -> dict[str, Any]:
    """Return the features for the JSON document."""
    eras = dict.fromkeys(row.era for row in features.slices)
    return {
        "load": [asdict(row) | {"rounds": rounds_document(pieces)} for row, pieces in features.slices.items()],
        "added_us": {era: {one: asdict(spread) for one, spread in added(features, era).items()} for era in eras},
    }


def _pair(features: Features, feature: Feature, era: Era) -> tuple[Sequence[Slice], Sequence[Slice]]:
    return _of(features, feature, era), _of(features, Feature.SDK, era)


def _of(features: Features, feature: Feature, era: Era) -> Sequence[Slice]:
    return features.slices[FeatureRow(feature, era)]
