"""Is everything there? Named checks, each bounded in time, their answers kept for a second."""

import asyncio
import contextlib
import functools
import importlib
import inspect
import os
import resource
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, cast

import msgspec
import structlog

from portside.clock import Clock
from portside.errors import StartFailed
from portside.observe.log_lines import timestamp

Status = Literal["healthy", "warning", "unhealthy"]

CHECK_TIMEOUT_S: Final = 5.0
ANSWER_WITHIN_S: Final = 2.0
"""A report waits no longer: a platform that asks with a short time-out must not restart us for a slow dependency."""

KEEP_S: Final = 1.0
MEMORY_WARNING_BYTES: Final = 400 * 1024 * 1024
DISK_WARNING_BYTES: Final = 100 * 1024 * 1024
DISK_WARNING_SHARE: Final = 0.10

_RANK: Final[dict[Status, int]] = {"healthy": 0, "warning": 1, "unhealthy": 2}
_T = TypeVar("_T")
_log: structlog.stdlib.BoundLogger = structlog.get_logger("portside.health")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `details` are plain JSON values."""

    status: Status
    details: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Check:
    """One named check. A critical one that is unhealthy makes the replica not ready.

    One that needs the hosted server is left out until that has started: the check may be part of the same module.
    """

    name: str
    probe: Callable[[], Awaitable[Finding]]
    is_critical: bool = False
    needs_hosted: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """All findings at one moment. `timestamp` is ISO 8601 in UTC."""

    status: Status
    timestamp: str
    checks: dict[str, dict[str, Any]]
    failed_critical: tuple[str, ...]


class Health:
    """Runs the checks side by side, each at most once a second and once at a time, whoever and how many ask.

    A probe has `limit_s` seconds; a report waits `patience_s` for those under way, then shows what they last found.
    """

    def __init__(
        self,
        checks: Sequence[Check],
        clock: Clock,
        *,
        limit_s: float = CHECK_TIMEOUT_S,
        patience_s: float = ANSWER_WITHIN_S,
    ) -> None:
        self._probes = tuple(_Probe(check, clock, limit_s) for check in checks)
        self._clock = clock
        self._patience_s = patience_s

    async def report(self, *, is_started: bool = True) -> Report:
        """Return what was found less than a second ago, or look now. Never raises for what a check does."""
        probes = [probe for probe in self._probes if is_started or not probe.check.needs_hosted]
        under_way = {task for probe in probes if (task := probe.refresh()) is not None}
        if under_way:
            await asyncio.wait(under_way, timeout=self._patience_s)
        findings = [(probe, probe.finding()) for probe in probes]
        statuses: list[Status] = [finding.status for _, finding in findings]
        worst: Status = max(statuses, key=lambda status: _RANK[status]) if statuses else "healthy"
        return Report(
            worst,
            timestamp(self._clock.now()),
            # What a check says of itself never replaces its status.
            {
                probe.check.name: {**finding.details, "status": finding.status, "duration_ms": probe.duration_ms}
                for probe, finding in findings
            },
            tuple(p.check.name for p, finding in findings if p.check.is_critical and finding.status == "unhealthy"),
        )


class _Probe:
    """One check: what it found last, and the look under way."""

    def __init__(self, check: Check, clock: Clock, limit_s: float) -> None:
        self.check = check
        self.duration_ms = 0.0
        self._clock = clock
        self._limit_s = limit_s
        self._found: Finding | None = None
        self._found_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._work: asyncio.Future[Finding] | None = None

    def refresh(self) -> asyncio.Task[None] | None:
        """Return the look under way, starting one unless the last is fresh."""
        if self._task is not None and not self._task.done():
            return self._task
        if self._found is not None and self._clock.monotonic() - self._found_at < KEEP_S:
            return None
        self._task = asyncio.create_task(self._look(), name=f"check-{self.check.name}")
        return self._task

    def finding(self) -> Finding:
        if self._found is None:
            # Nothing is known yet: traffic waits for a critical dependency, and for no other.
            return Finding("unhealthy" if self.check.is_critical else "warning", {"error": "no answer yet"})
        return self._found

    async def _look(self) -> None:
        started = self._clock.monotonic()
        found = await self._bounded()
        self.duration_ms = round((self._clock.monotonic() - started) * 1000, 1)
        before = self._found.status if self._found is not None else "healthy"
        self._found, self._found_at = found, self._clock.monotonic()
        if found.status != before:
            # In production the response tells the status alone, so the reason must be in the log.
            tell = _log.info if found.status == "healthy" else _log.warning
            tell("health.changed", check=self.check.name, status=found.status, details=found.details)

    async def _bounded(self) -> Finding:
        if self._work is None or self._work.done():
            self._work = asyncio.ensure_future(_guarded(self.check))
        # What ignores its cancellation is waited for again next time, never doubled.
        done, _ = await asyncio.wait((self._work,), timeout=self._limit_s)
        if not done:
            self._work.cancel()
            return Finding("unhealthy", {"error": f"no answer within {self._limit_s:g} s"})
        if self._work.cancelled():
            return Finding("unhealthy", {"error": "the check was cancelled"})
        return self._work.result()


async def _guarded(check: Check) -> Finding:
    try:
        return await check.probe()
    except Exception as error:
        return _failed(error)


def memory() -> Check:
    """Return the check that warns when the process holds more than 400 MB."""

    async def probe() -> Finding:
        used = resident_bytes()
        status: Status = "warning" if used > MEMORY_WARNING_BYTES else "healthy"
        return Finding(status, {"resident_bytes": used, "warning_bytes": MEMORY_WARNING_BYTES})

    return Check("memory", probe)


def disk(folder: Path) -> Check:
    """Return the check that measures the data folder's disk, and writes a file there where the folder exists."""
    return Check("disk", _Threaded(lambda: _measure_disk(folder)))


def custom(path: str) -> Check:
    """Return the user's own check, `module:function`, named after the path.

    The function is sync (run in a thread) or async. None, True or a dict of details mean healthy, False unhealthy;
    a dict may name its own `status`; raising means unhealthy. The module is imported at the first probe, after the
    hosted server has started, and once: a path that leads nowhere is unhealthy until the next start. Raises
    StartFailed where `path` does not read `module:function`.
    """
    module, colon, name = path.partition(":")
    if not (module and colon and name):
        raise StartFailed(f"health check {path!r}: expected module:function")
    return Check(path, _Custom(module, name), needs_hosted=True)


class _Custom:
    """A probe of the user's, found when it is first needed."""

    def __init__(self, module: str, name: str) -> None:
        self._module = module
        self._name = name
        self._finding_it: asyncio.Future[Callable[[], Any] | Finding] | None = None
        self._threaded: _Threaded | None = None

    async def __call__(self) -> Finding:
        if self._finding_it is None:
            self._finding_it = _in_daemon_thread(self._find)
        function = await asyncio.shield(self._finding_it)
        if isinstance(function, Finding):
            return function
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
            return _finding_of(await function())
        if self._threaded is None:
            self._threaded = _Threaded(lambda: _finding_of(function()))
        return await self._threaded()

    def _find(self) -> Callable[[], Any] | Finding:
        try:
            found: object = functools.reduce(getattr, self._name.split("."), importlib.import_module(self._module))
        except BaseException as error:
            return _failed(error)
        if not callable(found):
            return Finding("unhealthy", {"error": f"{self._module}:{self._name} is not a function"})
        return found


class _Threaded:
    """A blocking probe in a thread of its own, one at a time.

    Not the loop's executor: 200 blocked tools must not hold up health, and a thread that hangs must neither be
    doubled at every probe nor keep the process from ending.
    """

    def __init__(self, work: Callable[[], Finding]) -> None:
        self._work = work
        self._running: asyncio.Future[Finding] | None = None

    async def __call__(self) -> Finding:
        if self._running is None or self._running.done():
            self._running = _in_daemon_thread(self._safe)
        return await asyncio.shield(self._running)

    def _safe(self) -> Finding:
        try:
            return self._work()
        except BaseException as error:
            # Also SystemExit: a check that calls exit() must not end the server.
            return _failed(error)


def _in_daemon_thread(work: Callable[[], _T]) -> "asyncio.Future[_T]":
    """Return a future of what `work` returns; it must not raise."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def settle(result: _T) -> None:
        if not future.done():
            future.set_result(result)

    def run() -> None:
        result = work()
        # The loop may have closed meanwhile; then nobody waits for the result.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=run, name="health-check", daemon=True).start()
    return future


def _failed(error: BaseException) -> Finding:
    return Finding("unhealthy", {"error": f"{type(error).__name__}: {error}"[:500]})


def _finding_of(value: object) -> Finding:
    """Return what a user's check meant; details JSON does not know are shown by their `repr`."""
    if value is None or value is True:
        return Finding("healthy")
    if value is False:
        return Finding("unhealthy")
    if not isinstance(value, dict):
        return Finding("unhealthy", {"error": f"returned {type(value).__name__}, expected None, a bool or a dict"})
    given = cast("dict[object, object]", value)
    try:
        details: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(given, enc_hook=repr))
    except (TypeError, ValueError, RecursionError):
        details = {"details": ascii(given)[:500]}
    status = details.pop("status", given.get("status", "healthy"))
    if status not in ("healthy", "warning", "unhealthy"):
        return Finding(
            "unhealthy", details | {"error": f"status {ascii(status)[:50]}: expected one of {', '.join(_RANK)}"}
        )
    return Finding(status, details)


def resident_bytes() -> int:
    """Return how much memory the process holds now (its peak where the system tells no better)."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _measure_disk(folder: Path) -> Finding:
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    stats = os.statvfs(existing)
    free, total = stats.f_bavail * stats.f_frsize, stats.f_blocks * stats.f_frsize
    details: dict[str, Any] = {"path": str(folder), "free_bytes": free, "total_bytes": total}
    if folder.is_dir():
        try:
            # Unnamed where the system can: a process killed here leaves nothing behind.
            with tempfile.TemporaryFile(dir=folder, prefix=".portside-health-", buffering=0) as file:
                file.write(bytes(4096))
                os.fsync(file.fileno())
        except OSError as error:
            return Finding("unhealthy", details | {"error": f"cannot write: {error.strerror or error}"})
    # Some file systems, such as mounted buckets, have no size: nothing can be low there.
    is_low = total > 0 and (free < DISK_WARNING_BYTES or free / total < DISK_WARNING_SHARE)
    return Finding("warning" if is_low else "healthy", details)
