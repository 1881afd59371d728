"""Keeps rows in files of JSON lines: appended, synced, and begun anew when large or after a failure."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

import structlog

from portside.audit import chain
from portside.audit.base import AuditUnavailable, Last, Repair, Stored
from portside.audit.sinks import files
from portside.audit.sinks.syncing import KernelSync, SyncRefused

LIMIT_BYTES: Final = 64 * 1024 * 1024
_T = TypeVar("_T")
_log: structlog.stdlib.BoundLogger = structlog.get_logger("portside.audit")


class FileSink:
    """Keeps one writer's rows in `folder`, in files of at most `limit_bytes`, or one group of rows.

    Many processes may share a folder of a local disk: each writes files of its own, and holds a lock on the newest.
    After any failure the file is cut back to what was kept and another one begun: a disk that failed to sync once may
    later say it has, having dropped the bytes.

    Files are begun and mended in a thread. A group is written by the loop itself, which costs it a copy into the page
    cache, and synced by the kernel; by the thread as well where the kernel does not do that. No write is made while a
    sync is under way: on a disk that hangs, the sync hangs, and the loop does not.
    """

    def __init__(self, folder: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder = folder
        self._limit = limit_bytes
        self._number = 0
        self._size = 0
        self._stream: BinaryIO | None = None
        self._file = folder
        self._ended: dict[Path, Last] = {}
        self._kernel: KernelSync | None = None
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="audit")

    def __repr__(self) -> str:
        return f"<FileSink {self._folder} file {self._number} at {self._size}>"

    async def repair(self) -> Sequence[Repair]:
        found = await self._run(self._repair)
        self._kernel = KernelSync.open()
        return found

    async def append(self, rows: Sequence[Stored]) -> None:
        data = b"".join(map(chain.frame, rows))
        stream = self._stream
        if self._kernel is None or stream is None or self._size + len(data) > self._limit:
            await self._run(lambda: self._append(rows[0].writer, data))
            return
        try:
            _write(stream, data)
            await self._sync(self._kernel, stream)
        except OSError as error:
            await self._run(self._cut_if_possible)
            raise self._unavailable(error) from error
        self._size += len(data)

    async def recover(self) -> None:
        await self._run(self._cut)

    async def last(self) -> Sequence[Last]:
        return await self._run(lambda: files.last(self._folder, self._ended))

    async def close(self) -> None:
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None
        if self._stream is not None:
            await self._run(self._stream.close)
            self._stream = None
        self._pool.shutdown(wait=False)

    async def _sync(self, kernel: KernelSync, stream: BinaryIO) -> None:
        try:
            await kernel.sync(stream.fileno())
        except SyncRefused as refused:
            # This file system does not do it, or the machine's share of such orders is used up.
            _log.warning("audit.synced_by_thread", folder=str(self._folder), reason=str(refused))
            kernel.close()
            self._kernel = None
            await asyncio.get_running_loop().run_in_executor(self._pool, os.fdatasync, stream.fileno())

    async def _run(self, work: Callable[[], _T]) -> _T:
        # One thread, so that what a cancelled caller left under way ends before the next thing begins.
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except OSError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: OSError) -> AuditUnavailable:
        what = error.strerror or error
        return AuditUnavailable(f"audit folder {self._folder}: {what}; expected to write and sync a file there")

    def _repair(self) -> Sequence[Repair]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return files.repair(self._folder)

    def _append(self, writer: str, data: bytes) -> None:
        if self._stream is None or (self._size and self._size + len(data) > self._limit):
            self._begin(writer)
        stream = self._stream
        if stream is None:
            raise OSError(f"{self._folder}: no file was begun")
        try:
            _write(stream, data)
            os.fdatasync(stream.fileno())
        except OSError:
            self._cut_if_possible()
            raise
        self._size += len(data)

    def _begin(self, writer: str) -> None:
        file = self._folder / files.name(writer, self._number + 1)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL
        stream = os.fdopen(os.open(file, flags, 0o600), "ab", buffering=0)
        files.lock(stream)
        before, self._stream, self._file = self._stream, stream, file
        self._number += 1
        self._size = 0
        if before is not None:
            before.close()
        files.sync_folder(self._folder)

    def _cut_if_possible(self) -> None:
        # Whoever reads the file from now on should not find half a row. If this fails too, `recover` tries again.
        with contextlib.suppress(OSError):
            self._cut()

    def _cut(self) -> None:
        """Cut the file back to what was kept, so that another one begins; an empty one is taken away."""
        stream = self._stream
        if stream is None:
            return
        stream.truncate(self._size)
        os.fsync(stream.fileno())
        if self._size == 0:
            self._file.unlink(missing_ok=True)
        stream.close()
        self._stream = None


def _write(stream: BinaryIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(stream.fileno(), rest) :]
