"""The sides of the comparison: how each server is started, all on equal terms."""

import os
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from process import ServerProcess, free_port
from wire import Era

HERE = Path(__file__).resolve().parent
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
"""The variables a server gets from this process; any other might be a setting that changes it."""

PORTSIDE_SETTINGS = {
    "MCP_ENV": "production",
    "RATE_LIMIT_MAX_REQUESTS": "0",
    "PORTSIDE_REQUEST_LOG": "false",
    "LOG_LEVEL": "warning",
}
"""Production with state in memory, no sign-in, metrics and request record on, no line per request."""


class Side(StrEnum):
    """A server of the comparison."""

    PORTSIDE = "portside"
    SDK = "sdk"
    SDK_JSON = "sdk-json"
    SDK_STATELESS = "sdk-stateless"
    FLOOR = "floor"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the tables: a side, what its client speaks and calls, and over how many connections."""

    side: Side
    era: Era
    tool: str
    connections: int


def rows(connections: int, sides: Collection[Side]) -> list[Row]:
    """Return what one round measures, rivals next to each other so that they meet the same machine."""
    rivals = (Side.PORTSIDE, Side.SDK)
    wanted = [Row(side, era, "echo", count) for era in Era for count in (connections, 1) for side in rivals]
    wanted += [Row(side, Era.NEW, "echo_sync", connections) for side in rivals]
    tuned = (Side.SDK_JSON, Side.SDK_STATELESS)
    wanted += [Row(side, era, "echo", connections) for era in Era for side in tuned]
    wanted += [Row(Side.FLOOR, Era.NEW, "echo", connections)]
    return [row for row in wanted if row.side in sides]


def server(
    side: Side,
    core: int | None,
    *,
    target: str = "echo_server.py",
    settle: bool = False,
    settings: Mapping[str, str] | None = None,
) -> ServerProcess:
    """Return the process of `side`, not yet started.

    settle: read its memory with `settled_memory`. settings: of portside, before those it usually gets.
    """
    port = free_port()
    env = {name: os.environ[name] for name in INHERITED if name in os.environ}
    if settle:
        env["PYTHONPATH"] = str(HERE / "settle")
    if side is Side.PORTSIDE:
        env |= PORTSIDE_SETTINGS | dict(settings or {})
        target = f"{HERE / target}:mcp"
        command = [sys.executable, "-m", "portside", "serve", target, "--host", "127.0.0.1", "--port", str(port)]
    else:
        command = [sys.executable, str(HERE / "reference_server.py"), side.value, "--port", str(port)]
    return ServerProcess(side.value, command, port, env, core)
