"""Checks are bounded, shared and never the reason a server stops answering."""

import asyncio
import errno
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import pytest
import structlog
from structlog.testing import capture_logs

from portside.clock import ManualClock
from portside.errors import StartFailed
from portside.observe import checks, health
from portside.observe.health import Check, Finding, Health

pytestmark = pytest.mark.anyio
MODULE = "checks_of_a_user"


@pytest.fixture(autouse=True)
def plain_structlog() -> None:
    structlog.reset_defaults()


@pytest.fixture
def module() -> Iterator[ModuleType]:
    made = sys.modules[MODULE] = ModuleType(MODULE)
    yield made
    del sys.modules[MODULE]


def answering(name: str, *statuses: health.Status, is_critical: bool = False) -> tuple[Check, list[int]]:
    """A check that gives these answers in turn, then the last for ever, and the count of its probes."""
    probes: list[int] = []

    async def probe() -> Finding:
        probes.append(1)
        await asyncio.sleep(0)
        return Finding(statuses[min(len(probes), len(statuses)) - 1])

    return Check(name, probe, is_critical), probes


async def look(check: Check, **limits: float) -> dict[str, Any]:
    with capture_logs():
        return (await Health([check], ManualClock(), **limits).report()).checks[check.name]


async def test_the_worst_finding_is_the_whole() -> None:
    checks = [answering(name, name)[0] for name in ("healthy", "warning")]
    with capture_logs():
        report = await Health(checks, ManualClock(0.25)).report()
    assert (report.status, report.timestamp, report.failed_critical) == ("warning", "1970-01-01T00:00:00.250Z", ())


async def test_no_checks_are_healthy() -> None:
    assert (await Health([], ManualClock()).report()).status == "healthy"


async def test_only_a_critical_check_fails_readiness() -> None:
    checks = [answering("disk", "unhealthy")[0], answering("database", "unhealthy", is_critical=True)[0]]
    with capture_logs():
        report = await Health(checks, ManualClock()).report()
    assert report.failed_critical == ("database",)


async def test_many_who_ask_at_once_share_one_probe() -> None:
    check, probes = answering("x", "healthy")
    one = Health([check], ManualClock())
    await asyncio.gather(*(one.report() for _ in range(50)))
    assert len(probes) == 1


async def test_an_answer_is_kept_for_a_second() -> None:
    clock = ManualClock()
    check, probes = answering("x", "healthy")
    one = Health([check], clock)
    for step in (0.0, 0.9, 0.2):
        clock.advance(step)
        await one.report()
    assert len(probes) == 2


async def test_a_hanging_check_is_unhealthy_after_its_limit() -> None:
    async def probe() -> Finding:
        await asyncio.Event().wait()
        return Finding("healthy")

    found = await look(Check("x", probe), limit_s=0.01)
    assert (found["status"], found["error"]) == ("unhealthy", "no answer within 0.01 s")


async def test_a_report_does_not_wait_for_a_slow_check_but_shows_what_it_found_last() -> None:
    # given
    clock, release = ManualClock(), asyncio.Event()

    async def probe() -> Finding:
        await release.wait()
        return Finding("healthy")

    one = Health([Check("x", probe, is_critical=True)], clock, patience_s=0.01)
    # when nothing is known, then known
    before = await one.report()
    release.set()
    known = Health([Check("x", probe)], clock)
    await known.report()
    release.clear()
    clock.advance(2)
    slow = Health([Check("x", probe)], clock, patience_s=0.01)
    after = await slow.report()
    # then
    assert (before.status, before.failed_critical) == ("unhealthy", ("x",))
    assert (after.status, after.checks["x"]["error"]) == ("warning", "no answer yet")


async def test_the_last_finding_stands_while_the_next_is_awaited() -> None:
    # given
    clock, first = ManualClock(), [True]

    async def probe() -> Finding:
        if not first:
            await asyncio.Event().wait()
        first.clear()
        return Finding("healthy", {"n": 1})

    one = Health([Check("x", probe)], clock, patience_s=0.01)
    await one.report()
    # when
    clock.advance(2)
    # then
    assert (await one.report()).checks["x"]["n"] == 1


async def test_a_raising_check_is_unhealthy_with_the_reason() -> None:
    async def probe() -> Finding:
        raise ConnectionError("refused")

    found = await look(Check("x", probe))
    assert (found["status"], found["error"]) == ("unhealthy", "ConnectionError: refused")


async def test_a_change_is_logged_once() -> None:
    clock = ManualClock()
    one = Health([answering("x", "healthy", "unhealthy", "unhealthy", "healthy")[0]], clock)
    with capture_logs() as logs:
        for _ in range(5):
            await one.report()
            clock.advance(2)
    assert [(line["log_level"], line["status"]) for line in logs] == [("warning", "unhealthy"), ("info", "healthy")]


async def test_a_stuck_thread_is_waited_for_again_never_doubled(module: ModuleType) -> None:
    # given
    clock, release, starts = ManualClock(), threading.Event(), list[int]()

    def stuck() -> None:
        starts.append(1)
        release.wait(5)

    vars(module)["stuck"] = stuck
    one = Health([checks.custom(f"{MODULE}:stuck")], clock, limit_s=0.05)
    # when
    with capture_logs():
        for _ in range(4):
            report = await one.report()
            clock.advance(2)
    release.set()
    # then
    assert (report.status, starts) == ("unhealthy", [1])  # pyright: ignore[reportPossiblyUnboundVariable]


def _exit() -> None:
    sys.exit(3)


@pytest.mark.parametrize(
    ("function", "status"),
    [
        (lambda: None, "healthy"),
        (lambda: True, "healthy"),
        (lambda: False, "unhealthy"),
        (lambda: {"queue": 3}, "healthy"),
        (lambda: {"status": "warning"}, "warning"),
        (lambda: {"status": ["odd"]}, "unhealthy"),
        (lambda: 7, "unhealthy"),
        (lambda: {"odd": {1, 2}, ("a", 1): object()}, "healthy"),
        (_exit, "unhealthy"),
    ],
)
async def test_what_a_users_function_means(module: ModuleType, function: Callable[[], Any], status: str) -> None:
    vars(module)["check"] = function
    assert (await look(checks.custom(f"{MODULE}:check")))["status"] == status


async def test_details_of_a_users_function_are_shown_and_never_replace_its_status(module: ModuleType) -> None:
    async def check() -> dict[str, Any]:
        return {"queue": 3, "duration_ms": -1}

    vars(module)["check"] = check
    found = await look(checks.custom(f"{MODULE}:check"))
    assert (found["queue"], found["status"], found["duration_ms"]) == (3, "healthy", 0.0)


async def test_a_users_module_is_imported_only_once_the_server_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    (tmp_path / "late_checks.py").write_text("def check(): return True\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    one = Health([checks.custom("late_checks:check")], ManualClock())
    # when / then
    assert (await one.report(is_started=False)).checks == {}
    assert "late_checks" not in sys.modules
    assert (await one.report()).checks["late_checks:check"]["status"] == "healthy"
    del sys.modules["late_checks"]


@pytest.mark.parametrize("path", ["no_such_module:f", f"{MODULE}:missing", "sys:maxsize"])
async def test_a_path_that_leads_nowhere_is_unhealthy(module: ModuleType, path: str) -> None:
    assert (await look(checks.custom(path)))["status"] == "unhealthy"


async def test_a_path_that_is_none_stops_the_start() -> None:
    with pytest.raises(StartFailed, match="expected module:function"):
        checks.custom("just_a_module")


async def test_memory_warns_past_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await look(checks.memory()))["resident_bytes"] > 1_000_000
    monkeypatch.setattr(checks, "MEMORY_WARNING_BYTES", 1)
    assert (await look(checks.memory()))["status"] == "warning"


async def test_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    found = await look(checks.disk(tmp_path))
    assert found["status"] in ("healthy", "warning")
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - the loop has nothing else to do


async def test_a_folder_that_is_not_there_is_measured_where_it_would_be(tmp_path: Path) -> None:
    found = await look(checks.disk(tmp_path / "a" / "b"))
    assert found["total_bytes"] > 0
    assert not (tmp_path / "a").exists()


async def test_a_disk_that_cannot_be_written_is_unhealthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> IO[bytes]:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    found = await look(checks.disk(tmp_path))
    assert (found["status"], found["error"]) == ("unhealthy", "cannot write: No space left on device")


@pytest.mark.parametrize(
    ("blocks", "free", "status"),
    [(1 << 30, 1 << 29, "healthy"), (1 << 30, 1 << 26, "warning"), (30_000, 20_000, "warning"), (0, 0, "healthy")],
)
async def test_a_low_disk_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: int, free: int, status: str
) -> None:
    """Blocks of 4096 bytes; no blocks at all is a file system without a size, such as a mounted bucket."""

    def statvfs(_: object) -> os.statvfs_result:
        return os.statvfs_result((4096, 4096, blocks, free, free, 1, 1, 1, 0, 255))

    monkeypatch.setattr(os, "statvfs", statvfs)
    assert (await look(checks.disk(tmp_path)))["status"] == status
