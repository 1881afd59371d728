"""Is everything there? Named checks, each bounded in time, their answers kept for a second."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import structlog

from portside.clock import Clock
from portside.observe.log_lines import timestamp

Status = Literal["healthy", "warning", "unhealthy"]

CHECK_TIMEOUT_S: Final = 5.0
ANSWER_WITHIN_S: Final = 2.0
"""A report waits no longer: a platform that asks with a short time-out must not restart us for a slow dependency."""

KEEP_S: Final = 1.0

STATUSES: Final[tuple[Status, ...]] = ("healthy", "warning", "unhealthy")
"""From the best to the worst."""

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
        worst: Status = max(statuses, key=STATUSES.index) if statuses else "healthy"
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
        return failed(error)


def failed(error: BaseException) -> Finding:
    """Return what a check found that raised."""
    return Finding("unhealthy", {"error": f"{type(error).__name__}: {error}"[:500]})
