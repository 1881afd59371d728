"""Slow clients of four kinds against one server, with good traffic all the while, as a program and for the tests.

`python -m tests.hostile.slow_clients 1000` says how long good calls took without them and with them, and how long the
slow ones were kept, one kind a line.
"""

import asyncio
import contextlib
import json
import statistics
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

from tests.hostile.attack import dialled
from tests.hostile.stage import TARGET
from tests.journeys.raw import Connection, call, post
from tests.processes import portside

HEADER_S: Final = 2.0
BODY_S: Final = 3.0
ENVIRONMENT: Final = {
    "MCP_ENV": "development",
    "PORTSIDE_HEADER_TIMEOUT_MS": f"{HEADER_S * 1000:.0f}",
    "PORTSIDE_BODY_TIMEOUT_MS": f"{BODY_S * 1000:.0f}",
    "PORTSIDE_REQUEST_LOG": "false",
}
QUIET_S: Final = 1.0
LATEST_S: Final = 30.0
_DRIP_S: Final = 0.25


@dataclass
class Report:
    """Seconds good calls took, before and during the attack, how many failed, and what became of each slow client."""

    quiet: list[float] = field(default_factory=list[float])
    attacked: list[float] = field(default_factory=list[float])
    failed: int = 0
    kept: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    answers: dict[str, set[bytes]] = field(default_factory=dict[str, set[bytes]])

    def said(self) -> str:
        """Return the report as lines of JSON; milliseconds for good calls, seconds for slow clients."""
        good = {"good_calls": len(self.attacked), "failed": self.failed}
        good |= {"p99_quiet_ms": _p99_ms(self.quiet), "p99_attacked_ms": _p99_ms(self.attacked)}
        lines = [json.dumps(good)]
        for kind, kept in self.kept.items():
            longest = round(max(kept), 2)
            answers = sorted(answer.decode() for answer in self.answers[kind])
            lines.append(json.dumps({"kind": kind, "clients": len(kept), "kept_s": longest, "answers": answers}))
        return "\n".join(lines)


async def run(port: int, clients: int) -> Report:
    """Let good traffic run alone for a second, then send `clients` slow ones, in equal parts of each kind."""
    report = Report()
    ends = asyncio.Event()
    quiet = asyncio.create_task(_good(port, ends, report.quiet, report))
    await asyncio.wait({quiet}, timeout=QUIET_S)
    ends.set()
    await quiet
    over = asyncio.Event()
    good = asyncio.create_task(_good(port, over, report.attacked, report))
    try:
        async with asyncio.timeout(LATEST_S):
            each = clients // len(KINDS)
            await asyncio.gather(*(_keep(port, kind, report) for kind in KINDS for _ in range(each)))
    finally:
        over.set()
        await good
    return report


async def _good(port: int, over: asyncio.Event, took: list[float], report: Report) -> None:
    async with dialled(port) as connection:
        while not over.is_set():
            began = perf_counter()
            reply = await connection.ask(call("echo", {"text": "good"}))
            report.failed += reply.status != 200
            took.append(perf_counter() - began)


async def _keep(port: int, kind: str, report: Report) -> None:
    """Be one slow client until the server has had enough; note for how long, and what it said."""
    began = perf_counter()
    with contextlib.suppress(ConnectionError):  # being reset is one of the ends
        answer = await KINDS[kind](port)
        report.answers.setdefault(kind, set()).add(answer)
    report.kept.setdefault(kind, []).append(perf_counter() - began)


async def _silent(port: int) -> bytes:
    async with dialled(port) as connection:
        return await _ended(connection)


async def _head_drip(port: int) -> bytes:
    async with dialled(port) as connection:
        connection.send(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\n")
        return await _drip(connection, b"X-A: b\r\n")


async def _body_drip(port: int) -> bytes:
    async with dialled(port) as connection:
        connection.send(post(b"{", {"Content-Length": "100000"}))
        return await _drip(connection, b" ")


async def _stalled_body(port: int) -> bytes:
    async with dialled(port) as connection:
        connection.send(post(b"{", {"Content-Length": "100000"}))
        return await _ended(connection)


async def _drip(connection: Connection, piece: bytes) -> bytes:
    ended = asyncio.create_task(_ended(connection))
    while not ended.done():
        connection.send(piece)
        await asyncio.wait({ended}, timeout=_DRIP_S)
    return ended.result()


async def _ended(connection: Connection) -> bytes:
    return (await connection.closed(timeout_s=LATEST_S))[:12]


KINDS: Final[dict[str, Callable[[int], Awaitable[bytes]]]] = {
    "silent": _silent,
    "head drips": _head_drip,
    "body drips": _body_drip,
    "body stalls": _stalled_body,
}


def _p99_ms(took: list[float]) -> float:
    return round(statistics.quantiles(took, n=100)[98] * 1000, 2)


def main() -> None:
    """Run against a server of our own and print the report."""
    with portside(TARGET, environment=ENVIRONMENT) as server:
        print(asyncio.run(run(server.port, int(sys.argv[1]))).said())


if __name__ == "__main__":
    main()
