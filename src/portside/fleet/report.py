"""What a fleet looks like from outside, as a table or as JSON."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from portside.fleet import network
from portside.fleet.folder import Folder
from portside.fleet.process import Process, is_alive
from portside.fleet.proxy import answers
from portside.fleet.record import Recorded, SlotRecord
from portside.fleet.slot import LOOPING, Phase

TAIL: Final = 5


class ReplicaReport(msgspec.Struct, frozen=True):
    """One replica. `log`: its last lines, where it keeps failing."""

    name: str
    state: str
    port: int
    pid: int | None
    is_ready: bool
    is_in_use: bool
    generation: int
    restarts: int
    failed: str
    log: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True):
    """A whole fleet. Pids are None where the process does not run. `is_open`: the front takes connections."""

    target: str
    url: str
    stats: str | None
    wanted: int
    is_rolling: bool
    is_open: bool
    is_as_wanted: bool
    supervisor: int | None
    proxy: str
    proxy_pid: int | None
    redis_pid: int | None
    replicas: tuple[ReplicaReport, ...]


def describe(recorded: Recorded, ready: Mapping[int, bool], folder: Folder, *, is_open: bool) -> Report:
    """Return the report of what was written down, with what `/ready` of each slot said, and whether clients get in."""
    facts = recorded.facts
    replicas = tuple(_replica(one, recorded, ready.get(one.number, False), folder) for one in recorded.slots)
    serving = [one for one in replicas if one.is_ready and one.is_in_use]
    scheme = "https" if facts.is_tls else "http"
    host = f"[{facts.host}]" if ":" in facts.host else facts.host
    supervisor = _pid(recorded.supervisor)
    return Report(
        target=facts.target,
        url=f"{scheme}://{host}:{facts.port}/mcp" if facts.proxy != "none" else "",
        stats=f"http://127.0.0.1:{facts.stats_port}/" if facts.proxy == "haproxy" else None,
        wanted=recorded.goal.replicas,
        is_rolling=recorded.goal.is_rolling,
        is_open=is_open,
        is_as_wanted=supervisor is not None and is_open and len(serving) == len(replicas) == recorded.goal.replicas,
        supervisor=supervisor,
        proxy=facts.proxy,
        proxy_pid=_pid(recorded.proxy),
        redis_pid=_pid(recorded.redis),
        replicas=replicas,
    )


async def asked(recorded: Recorded, folder: Folder) -> Report:
    """Return the report of a fleet whose supervisor cannot be asked."""
    numbers = [one.number for one in recorded.slots if one.process is not None and is_alive(one.process)]
    looks = await asyncio.gather(*(network.ready(recorded.facts.ports[number - 1]) for number in numbers))
    ready = {number: bool(said) for number, said in zip(numbers, looks, strict=True)}
    facts = recorded.facts
    return describe(recorded, ready, folder, is_open=facts.proxy == "none" or answers(facts.host, facts.port))


def table(report: Report) -> str:
    """Return a report as a person reads it."""
    rows = [("NAME", "STATE", "READY", "PORT", "PID", "GENERATION", "RESTARTS")]
    rows += [
        (
            one.name,
            one.state,
            "yes" if one.is_ready else "no",
            str(one.port),
            _shown(one.pid),
            str(one.generation),
            str(one.restarts),
        )
        for one in report.replicas
    ]
    parts = [f"{report.proxy} {_shown(report.proxy_pid)}" if report.proxy != "none" else "no proxy"]
    parts.append(f"supervisor {_shown(report.supervisor)}")
    if report.redis_pid is not None:
        parts.append(f"redis {report.redis_pid}")
    head = [f"{report.target} at {report.url or 'its replicas only'}: {report.wanted} wanted", ", ".join(parts)]
    if report.supervisor is None:
        head.append("nobody looks after it: `portside fleet up` takes it over, `portside fleet down` ends it")
    if not report.is_open:
        head.append("the proxy takes no connections: see logs/proxy.log in the fleet's folder")
    return "\n".join([*head, "", *_aligned(rows), *_troubles(report)])


def as_json(report: Report) -> str:
    """Return a report as JSON."""
    return msgspec.json.format(msgspec.json.encode(report)).decode()


def from_json(found: Any) -> Report:
    """Return a report from what its JSON was decoded to. Raises msgspec.ValidationError."""
    return msgspec.convert(found, Report)


def _replica(one: SlotRecord, recorded: Recorded, is_ready: bool, folder: Folder) -> ReplicaReport:
    is_running = one.process is not None and is_alive(one.process)
    is_looping = one.failures >= LOOPING and one.phase in (Phase.STARTING, Phase.WAITING)
    state = "crash loop" if is_looping else one.phase.value
    if one.phase is Phase.SERVING:
        state = "ended" if not is_running else "serving" if is_ready else "not ready"
    name = f"server-{one.number}"
    return ReplicaReport(
        name=name,
        state=state,
        port=recorded.facts.ports[one.number - 1],
        pid=_pid(one.process),
        is_ready=is_ready and is_running,
        is_in_use=one.is_in,
        generation=one.generation,
        restarts=one.restarts,
        failed=one.failed,
        log=tuple(folder.tail(name, TAIL)) if is_looping or one.phase is Phase.WAITING else (),
    )


def _troubles(report: Report) -> list[str]:
    lines: list[str] = []
    for one in report.replicas:
        if one.log:
            lines += ["", f"{one.name} {one.failed}; its last lines:", *(f"    {line}" for line in one.log)]
        elif one.failed:
            lines += ["", f"{one.name} last failed: {one.failed}"]
    return lines


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _pid(process: Process | None) -> int | None:
    return process.pid if process is not None and is_alive(process) else None


def _shown(pid: int | None) -> str:
    return "-" if pid is None else str(pid)
