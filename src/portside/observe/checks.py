"""The checks every server has, and the user's own: what each looks at, and in which thread."""

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
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import msgspec

from portside.errors import StartFailed
from portside.observe.health import STATUSES, Check, Finding, Status, failed

MEMORY_WARNING_BYTES: Final = 400 * 1024 * 1024
DISK_WARNING_BYTES: Final = 100 * 1024 * 1024
DISK_WARNING_SHARE: Final = 0.10

_T = TypeVar("_T")


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
            return failed(error)
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
            return failed(error)


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
    if status in STATUSES:
        return Finding(status, details)
    error = f"status {ascii(status)[:50]}: expected one of {', '.join(STATUSES)}"
    return Finding("unhealthy", details | {"error": error})


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
