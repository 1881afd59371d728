"""Is everything there? Named checks, each bounded in time, their answers kept for a second."""

import asyncio
import importlib
import inspect
import os
import resource
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, cast

from portside.clock import Clock
from portside.errors import StartFailed

Status = Literal["healthy", "warning", "unhealthy"]

CHECK_TIMEOUT_S: Final = 5.0
KEEP_S: Final = 1.0
MEMORY_WARNING_BYTES: Final = 400 * 1024 * 1024
DISK_WARNING_BYTES: Final = 100 * 1024 * 1024
DISK_WARNING_SHARE: Final = 0.10

_RANK: Final[dict[Status, int]] = {"healthy": 0, "warning": 1, "unhealthy": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `details` are plain JSON values."""

    status: Status
    details: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Check:
    """One named check. A critical one that is unhealthy makes the replica not ready."""

    name: str
    probe: Callable[[], Awaitable[Finding]]
    is_critical: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """All findings at one moment."""

    status: Status
    timestamp: str
    checks: dict[str, dict[str, Any]]
    failed_critical: tuple[str, ...]


class Health:
    """Runs the checks side by side, at most once a second, whoever and how many ask."""

    def __init__(self, checks: Sequence[Check], clock: Clock) -> None:
        self._checks = tuple(checks)
        self._clock = clock
        self._kept: tuple[float, Report] | None = None
        self._running: asyncio.Task[Report] | None = None

    async def report(self) -> Report:
        """Return what was found less than a second ago, or look now."""
        if self._kept is not None and self._clock.monotonic() - self._kept[0] < KEEP_S:
            return self._kept[1]
        if self._running is None:
            self._running = asyncio.create_task(self._look(), name="health")
        return await asyncio.shield(self._running)

    async def _look(self) -> Report:
        try:
            found = await asyncio.gather(*(self._probe(check) for check in self._checks))
            worst: Status = max((finding.status for finding, _ in found), key=_RANK.__getitem__, default="healthy")
            checks = {
                check.name: {"status": finding.status, "duration_ms": round(took * 1000, 1), **finding.details}
                for check, (finding, took) in zip(self._checks, found, strict=True)
            }
            failed = tuple(
                check.name
                for check, (finding, _) in zip(self._checks, found, strict=True)
                if check.is_critical and finding.status == "unhealthy"
            )
            stamp = datetime.fromtimestamp(self._clock.now(), UTC).isoformat(timespec="milliseconds")
            report = Report(worst, stamp, checks, failed)
            self._kept = (self._clock.monotonic(), report)
            return report
        finally:
            self._running = None

    async def _probe(self, check: Check) -> tuple[Finding, float]:
        started = self._clock.monotonic()
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                finding = await check.probe()
        except TimeoutError:
            finding = Finding("unhealthy", {"error": f"no answer within {CHECK_TIMEOUT_S:g} s"})
        except Exception as error:
            finding = Finding("unhealthy", {"error": f"{type(error).__name__}: {error}"})
        return finding, self._clock.monotonic() - started


def memory() -> Check:
    """Return the check that warns when the process holds more than 400 MB."""

    async def probe() -> Finding:
        used = resident_bytes()
        status: Status = "warning" if used > MEMORY_WARNING_BYTES else "healthy"
        return Finding(status, {"resident_bytes": used, "warning_bytes": MEMORY_WARNING_BYTES})

    return Check("memory", probe)


def disk(folder: Path) -> Check:
    """Return the check that measures the data folder's disk, and writes a file there where the folder exists."""

    async def probe() -> Finding:
        return await asyncio.to_thread(_measure_disk, folder)

    return Check("disk", probe)


def custom(path: str) -> Check:
    """Return the user's own check, `module:function`.

    The function is sync or async and returns None, True or a dict where all is well, False where not; raising means
    unhealthy too. Raises StartFailed where the path leads nowhere.
    """
    module_name, _, name = path.partition(":")
    try:
        function: Any = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise StartFailed(f"PORTSIDE_HEALTH_CHECKS={path!r}: {error}", hint="expected module:function") from error
    if not callable(function):
        raise StartFailed(f"PORTSIDE_HEALTH_CHECKS={path!r}: not a function", hint="expected module:function")

    async def probe() -> Finding:
        if inspect.iscoroutinefunction(function):
            value: object = await function()
        else:
            value = await asyncio.to_thread(function)
        if value is False:
            return Finding("unhealthy")
        return Finding("healthy", cast("dict[str, Any]", value) if isinstance(value, dict) else {})

    return Check(name, probe)


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
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".portside-health-") as file:
                file.write(b"x")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            return Finding("unhealthy", details | {"error": f"cannot write: {error.strerror or error}"})
    is_low = free < DISK_WARNING_BYTES or (total > 0 and free / total < DISK_WARNING_SHARE)
    return Finding("warning" if is_low else "healthy", details)
