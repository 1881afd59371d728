"""The figures of a run as tables with ratios, as JSON, and against the bars the project sets itself."""

import json
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from statistics import median

from figures import Bar, bar_line, heading, line, load_line, ratio, ratio_document, ratio_lines, rounds_document
from hop_report import hop_bars, hop_document, hop_tables
from hops import Hops
from load import Slice
from memory import SessionMemory
from process import Cores
from sides import Row, Side
from startup import Start
from wire import NEW_REVISION, OLD_REVISION, Era

FORMAT = 1
"""Version of the JSON document."""

PACKAGES = ("mcp", "uvicorn", "httptools", "uvloop", "starlette", "pydantic")
REVISIONS = {Era.NEW: NEW_REVISION, Era.OLD: OLD_REVISION}
FOREIGN_WORTH_A_WORD = 0.05
CLIENT_TOO_BUSY = 0.90


@dataclass(frozen=True, slots=True)
class Results:
    """Everything a run measured; lists hold one entry per round or start."""

    slices: dict[Row, list[Slice]]
    memory: dict[Side, SessionMemory]
    health: list[Start]
    help_page: list[Start]
    cores: Cores
    took_s: float
    hops: Hops = field(default_factory=Hops)


def pairs(results: Results) -> Iterator[tuple[Row, list[Slice], list[Slice]]]:
    """Yield every row of portside with its slices and those of the same row of the SDK."""
    for row, ours in results.slices.items():
        rival = Row(Side.SDK, row.era, row.tool, row.connections)
        if row.side is Side.PORTSIDE and rival in results.slices:
            yield row, ours, results.slices[rival]


def bars(results: Results) -> list[Bar]:
    """Return the bars this run can judge."""
    limits = {Era.NEW: 0.25, Era.OLD: 0.20}
    most = max((row.connections for row in results.slices), default=0)
    found: list[Bar] = []
    for row, ours, theirs in pairs(results):
        if row.tool == "echo" and row.connections == most:
            measured = ratio(ours, theirs, attrgetter("cpu_s_per_1000")).median
            found.append(
                Bar(
                    f"CPU per call, {row.era.value} era, {most} connections, portside : SDK",
                    limits[row.era],
                    measured,
                    "",
                )
            )
    ours = results.memory.get(Side.PORTSIDE)
    if ours is not None:
        found.append(Bar("idle session", 12.0, ours.per_session_kib, "KiB"))
        found.append(Bar("idle session with its GET stream", 24.0, ours.per_streaming_session_kib, "KiB"))
    if results.health:
        cpu_s = median(start.cpu_s for start in results.health)
        found.append(Bar("CPU until /health answers, module still loading", 1.0, cpu_s, "s"))
    if results.help_page:
        cpu_s = median(start.cpu_s for start in results.help_page)
        found.append(Bar("CPU of portside --help", 0.150, cpu_s, "s"))
    return found + hop_bars(results.hops)


def as_text(results: Results) -> str:
    """Return the report for people."""
    parts = [" | ".join(f"{name} {value}" for name, value in surroundings(results).items())]
    groups = dict.fromkeys((row.era, row.tool, row.connections) for row in results.slices)
    for era, tool, connections in groups:
        of_group = [row for row in results.slices if (row.era, row.tool, row.connections) == (era, tool, connections)]
        plural = "" if connections == 1 else "s"
        title = f"{era.value} era ({REVISIONS[era]}), tools/call {tool}, {connections} connection{plural}"
        parts.append("\n".join([title, *load_lines(results, of_group)]))
    if results.memory:
        parts.append("\n".join(memory_lines(results)))
    parts += hop_tables(results.hops)
    judged = bars(results)
    if judged:
        parts.append("\n".join(["bars", *(bar_line(bar) for bar in judged)]))
    parts += notes(results)
    return "\n\n".join(parts)


def load_lines(results: Results, of_group: Sequence[Row]) -> list[str]:
    """Return a table of medians over the rounds, and the ratios where both rivals ran."""
    lines = [heading(), *(load_line(row.side.value, results.slices[row]) for row in of_group)]
    for row, ours, theirs in pairs(results):
        if row in of_group:
            lines += ratio_lines("sdk", ours, theirs)
    return lines


def memory_lines(results: Results) -> list[str]:
    """Return the table of memory."""
    lines = ["memory, old era", line("", ["start PSS MiB", "start RSS MiB", "KiB/session", "with stream", "sessions"])]
    for side, memory in results.memory.items():
        start = [f"{memory.start.pss_kib / 1024:.1f}", f"{memory.start.rss_kib / 1024:.1f}"]
        each = [f"{memory.per_session_kib:.1f}", f"{memory.per_streaming_session_kib:.1f}", str(memory.sessions)]
        lines.append(line(side.value, start + each))
    ours, theirs = results.memory.get(Side.PORTSIDE), results.memory.get(Side.SDK)
    if ours is not None and theirs is not None:
        quotients = (
            ours.start.pss_kib / theirs.start.pss_kib,
            ours.start.rss_kib / theirs.start.rss_kib,
            ours.per_session_kib / theirs.per_session_kib,
            ours.per_streaming_session_kib / theirs.per_streaming_session_kib,
        )
        lines.append(line("ratio", [f"{quotient:.3f}" for quotient in quotients]))
    return lines


def notes(results: Results) -> list[str]:
    """Return what a reader must know before believing the figures."""
    found: list[str] = []
    measured = (*results.slices.values(), *results.hops.slices.values())
    slices = [piece for pieces in measured for piece in pieces]
    foreign = max((piece.foreign for piece in slices), default=0.0)
    if foreign > FOREIGN_WORTH_A_WORD:
        found.append(f"note: other processes had up to {foreign:.0%} of the server's core; repeat on a quiet machine")
    if any(piece.client_busy > CLIENT_TOO_BUSY for piece in slices):
        found.append("note: the load generator was at its limit in some rows; their throughput is its own")
    if results.cores.server is None:
        found.append("note: server and client were not pinned to cores of their own")
    return found + [f"note: {reason}; its rows are missing" for reason in results.hops.absent.values()]


def surroundings(results: Results) -> dict[str, str]:
    """Return what the figures depend on."""
    facts = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    facts["processor"] = processor()
    facts["cores"] = f"{os.cpu_count()}, server on {results.cores.server}, client on {results.cores.client}"
    facts["kernel"] = platform.release()
    facts["took"] = f"{results.took_s:.0f} s"
    return facts


def processor() -> str:
    """Return the processor's name, or the architecture where the kernel does not tell it."""
    for fact in Path("/proc/cpuinfo").read_text().splitlines():
        if fact.startswith("model name"):
            return fact.partition(":")[2].strip()
    return platform.machine()


def as_json(results: Results) -> str:
    """Return the report for programs."""
    document = {
        "format": FORMAT,
        "surroundings": surroundings(results),
        "load": [asdict(row) | {"rounds": rounds_document(pieces)} for row, pieces in results.slices.items()],
        "ratios": [
            {"era": row.era, "tool": row.tool, "connections": row.connections} | ratio_document(ours, theirs)
            for row, ours, theirs in pairs(results)
        ],
        "memory": {
            side: asdict(memory)
            | {"session_kib": memory.per_session_kib, "streaming_session_kib": memory.per_streaming_session_kib}
            for side, memory in results.memory.items()
        },
        "health": [asdict(start) for start in results.health],
        "help": [asdict(start) for start in results.help_page],
        "hops": hop_document(results.hops),
        "bars": [asdict(bar) | {"met": bar.is_met} for bar in bars(results)],
        "notes": notes(results),
    }
    return json.dumps(document, indent=2)
