"""Syncing by the kernel: done, failed, refused, given up; and a log where the kernel does not do it."""

import asyncio
import errno
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from portside.audit.base import AuditUnavailable
from portside.audit.sinks.file import FileSink
from portside.audit.sinks.syncing import KernelSync, SyncRefused
from portside.audit.writer import Writer
from portside.clock import ManualClock
from tests.audit.kept import SIGNER, call
from tests.audit.test_file import check, found, opened

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux is asked in this way"),
]


def kernel() -> KernelSync:
    made = KernelSync.open()
    if made is None and not os.environ.get("CI"):
        pytest.skip("this kernel, or whoever confines this process, does not let it make an AIO context")
    assert made is not None
    return made


async def test_what_was_written_is_synced_again_and_again(tmp_path: Path) -> None:
    syncing = kernel()
    with (tmp_path / "log").open("ab", buffering=0) as stream:
        for _ in range(20):
            stream.write(b"x" * 1000)
            await asyncio.wait_for(syncing.sync(stream.fileno()), 10)
    syncing.close()


async def test_what_cannot_be_synced_is_refused_at_once() -> None:
    syncing = kernel()
    reading, writing = os.pipe()
    with pytest.raises(SyncRefused, match="EINVAL"):
        await syncing.sync(writing)
    os.close(reading)
    os.close(writing)
    with pytest.raises(SyncRefused, match="EBADF"):
        await syncing.sync(writing)
    syncing.close()


async def test_a_caller_who_gives_up_leaves_the_next_one_alone(tmp_path: Path) -> None:
    syncing = kernel()
    with (tmp_path / "log").open("ab", buffering=0) as stream:
        for _ in range(20):
            stream.write(b"x")
            given_up = asyncio.create_task(syncing.sync(stream.fileno()))
            await asyncio.sleep(0)
            given_up.cancel()
            await asyncio.wait_for(syncing.sync(stream.fileno()), 10)
            assert given_up.cancelled()
    syncing.close()


class FailingOperation:
    """Ends as the kernel says that a disk has failed: a negative number, read without its sign."""

    @classmethod
    def fdsync(cls, descriptor: int) -> "FailingOperation":
        return cls()

    def set_callback(self, tell: Any) -> None:
        asyncio.get_running_loop().call_soon(tell, (1 << 64) - errno.EIO)


async def test_a_disk_that_fails_is_told_by_its_number() -> None:
    reading, writing = os.pipe()
    context = SimpleNamespace(fileno=reading, submit=id)
    syncing = KernelSync(SimpleNamespace(Operation=FailingOperation), context)
    with pytest.raises(OSError, match="Input/output error") as caught:
        await syncing.sync(0)
    assert caught.value.errno == errno.EIO
    syncing.close()
    os.close(reading)
    os.close(writing)


async def test_a_log_where_the_kernel_refuses_is_synced_by_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    fdatasync = os.fdatasync

    def counted(descriptor: int) -> None:
        synced.append(descriptor)
        fdatasync(descriptor)

    async def refusing(_: KernelSync, descriptor: int) -> None:
        raise SyncRefused("EINVAL")

    monkeypatch.setattr(os, "fdatasync", counted)
    monkeypatch.setattr(KernelSync, "sync", refusing)
    async with opened(tmp_path) as one:
        before = len(synced)
        for _ in range(3):
            await one.append(call())
        assert len(synced) == before + 3
    report = check(tmp_path)
    assert (report.is_sound, report.rows, len(found(tmp_path))) == (True, 5, 1)


async def test_a_log_is_synced_by_the_kernel_where_that_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel().close()
    synced: list[int] = []
    sync = KernelSync.sync

    async def counted(self: KernelSync, descriptor: int) -> None:
        synced.append(descriptor)
        await sync(self, descriptor)

    monkeypatch.setattr(KernelSync, "sync", counted)
    async with opened(tmp_path) as one:
        for _ in range(3):
            await one.append(call())
    assert len(synced) == 4, "three calls and the stop; the first row begins the file, in a thread"
    assert check(tmp_path).is_sound


async def test_a_disk_that_hangs_holds_up_neither_the_loop_nor_a_second_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, sync = asyncio.Event(), KernelSync.sync

    async def hanging(self: KernelSync, descriptor: int) -> None:
        await answers.wait()
        await sync(self, descriptor)

    kernel().close()
    one = Writer(FileSink(tmp_path), SIGNER, server_id="web-1", clock=ManualClock(), timeout_s=0.1)
    async with one:
        before = found(tmp_path)[0].stat().st_size
        monkeypatch.setattr(KernelSync, "sync", hanging)
        with pytest.raises(AuditUnavailable, match=r"has not answered within 0\.1 s"):
            await one.append(call())
        written = found(tmp_path)[0].stat().st_size
        with pytest.raises(AuditUnavailable, match=r"has not answered within 0\.1 s"):
            await one.append(call())
        assert before < written == found(tmp_path)[0].stat().st_size
        answers.set()
        await one.append(call())
    report = check(tmp_path)
    assert (report.is_sound, report.rows) == (True, 5)
