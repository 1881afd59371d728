"""Files of rows: rotation, torn lines, full and failing disks, other processes, pruning."""

import asyncio
import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from portside.audit import chain
from portside.audit.base import AuditUnavailable, Stored
from portside.audit.finding import Report
from portside.audit.follow import FolderFollower
from portside.audit.retention import prune_folder
from portside.audit.sinks import files
from portside.audit.sinks.file import FileSink
from portside.audit.sinks.syncing import KernelSync
from portside.audit.tail import RETRY_S
from portside.audit.verify import verify
from portside.audit.writer import Writer
from portside.clock import ManualClock
from tests.audit.kept import SIGNER, call
from tests.processes import ROOT


def opened(folder: Path, clock: ManualClock | None = None, *, server_id: str = "web-1", limit: int = 10**6) -> Writer:
    return Writer(FileSink(folder, limit_bytes=limit), SIGNER, server_id=server_id, clock=clock or ManualClock())


def found(folder: Path) -> list[Path]:
    return [file for own in files.find(folder).values() for file in own]


def torn(folder: Path) -> list[Path]:
    return list(folder.glob("*.torn-*"))


def check(folder: Path, *, as_of: float | None = None) -> Report:
    as_of_us = None if as_of is None else round(as_of * 1_000_000)
    return verify(files.read(found(folder)), [SIGNER.public], as_of_us=as_of_us)


@pytest.mark.anyio
async def test_the_chain_goes_on_across_files(tmp_path: Path) -> None:
    async with opened(tmp_path, limit=2000) as one:
        for _ in range(30):
            await one.append(call())
    assert len(found(tmp_path)) > 5
    assert all(file.stat().st_size <= 2000 for file in found(tmp_path))
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in found(tmp_path))
    report = check(tmp_path)
    assert (report.is_sound, report.rows, report.verified) == (True, 32, 32)


@pytest.mark.anyio
async def test_a_file_that_is_gone_is_missed(tmp_path: Path) -> None:
    async with opened(tmp_path, limit=2000) as one:
        for _ in range(30):
            await one.append(call())
    gone = found(tmp_path)[2]
    held = [chain.decode(line[9:-75]).sequence for line in gone.read_bytes().splitlines()]
    gone.unlink()
    first = check(tmp_path).findings[0]
    assert (first.kind, first.first, first.last) == ("missing", held[0], held[-1])


@pytest.mark.anyio
async def test_a_torn_line_is_set_aside_and_put_on_record(tmp_path: Path) -> None:
    async with opened(tmp_path) as one:
        await one.append(call())
    file = found(tmp_path)[0]
    with file.open("ab") as stream:
        stream.write(b'{"entry":{"event":{"ki')
    assert [finding.kind for finding in check(tmp_path).findings] == ["unreadable", "unsigned"]

    async with opened(tmp_path, server_id="web-2") as two:
        pass
    asides = torn(tmp_path)
    assert [aside.read_bytes() for aside in asides] == [b'{"entry":{"event":{"ki']
    assert check(tmp_path).is_sound
    rows = [row for row in files.read(files.find(tmp_path)[two.name]) if isinstance(row, Stored)]
    assert asides[0].name.encode() in rows[1].entry


@pytest.mark.anyio
async def test_bytes_a_crash_of_the_machine_zeroed_are_set_aside(tmp_path: Path) -> None:
    async with opened(tmp_path) as one:
        await one.append(call())
    with found(tmp_path)[0].open("ab") as stream:
        stream.write(bytes(300) + b'\n{"entry":{}}\n')
    async with opened(tmp_path, server_id="web-2"):
        pass
    assert check(tmp_path).is_sound


@pytest.mark.anyio
async def test_the_file_of_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as one:
        await one.append(call())
        file = found(tmp_path)[0]
        with file.open("ab") as stream:
            stream.write(b"half")
        before = file.read_bytes()
        async with opened(tmp_path, server_id="web-2"):
            assert file.read_bytes() == before
        last = {last.writer: last for last in files.last(tmp_path)}
        assert not last[one.name].ended
        os.truncate(file, len(before) - 4)
    assert all(last.ended for last in files.last(tmp_path))


@pytest.mark.anyio
async def test_what_a_living_writer_is_just_writing_is_no_finding(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as one:
        await one.append(call())
        file = found(tmp_path)[0]
        size = file.stat().st_size
        with file.open("ab") as stream:
            stream.write(b'{"entry":{"ev')
        assert check(tmp_path, as_of=clock.now()).is_sound
        os.truncate(file, size)


@pytest.mark.anyio
async def test_whoever_follows_sees_each_row_once(tmp_path: Path) -> None:
    async with opened(tmp_path, limit=1500) as one:
        follower = FolderFollower([tmp_path])
        seen = [len([row async for row in follower.fresh()])]
        for _ in range(5):
            await one.append(call())
        seen += [len([row async for row in follower.fresh()]) for _ in range(2)]
    assert seen == [1, 5, 0]


@pytest.mark.anyio
async def test_many_writers_share_a_folder(tmp_path: Path) -> None:
    clock = ManualClock()
    writers = [opened(tmp_path, clock, server_id=f"web-{index}", limit=5000) for index in range(4)]
    for one in writers:
        await one.open()
    await asyncio.gather(*(one.append(call()) for one in writers for _ in range(200)))
    clock.advance(100)
    for one in writers:
        await one.beat()
    for one in writers:
        await one.close()
    report = check(tmp_path, as_of=clock.now() + 1000)
    assert (report.findings, report.rows) == ([], 4 * 203)


@pytest.mark.anyio
async def test_a_folder_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(AuditUnavailable, match="file/log"):
        await opened(tmp_path / "file" / "log").open()


@pytest.mark.anyio
async def test_a_group_that_fits_in_part_leaves_nothing_behind(tmp_path: Path) -> None:
    clock = ManualClock()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with opened(tmp_path, clock) as one:
        receipt = await one.append(call())
        file = found(tmp_path)[0]
        size = file.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 400, hard))
        try:
            refused = await asyncio.gather(*(one.append(call()) for _ in range(5)), return_exceptions=True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert all(isinstance(error, AuditUnavailable) for error in refused)
        assert file.stat().st_size == size
        clock.advance(RETRY_S)
        assert (await one.append(call())).sequence == receipt.sequence + 1
    assert check(tmp_path).is_sound
    assert len(found(tmp_path)) == 2


@pytest.mark.anyio
@pytest.mark.parametrize("by", ["kernel", "thread"])
async def test_a_sync_that_fails_begins_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    """What fsync failed on once may be gone although it succeeds the next time; PostgreSQL learnt it in 2018."""
    clock = ManualClock()

    def failing(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async def refused(_: KernelSync, descriptor: int) -> None:
        failing(descriptor)

    if by == "thread":
        monkeypatch.setattr(KernelSync, "open", lambda: None)
    async with opened(tmp_path, clock) as one:
        await one.append(call())
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", failing)
            patch.setattr(KernelSync, "sync", refused)
            with pytest.raises(AuditUnavailable, match="Input/output error"):
                await one.append(call())
        assert one.failure is not None
        clock.advance(RETRY_S)
        await one.append(call())
    assert len(found(tmp_path)) == 2
    report = check(tmp_path)
    assert (report.is_sound, report.rows) == (True, 4)


@pytest.mark.anyio
async def test_a_pruned_folder_verifies_and_can_be_pruned_again(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock, limit=2500) as one:
        for _ in range(10):
            for _ in range(4):
                await one.append(call())
            clock.advance(60)
            await one.beat()
        size, now_us = len(found(tmp_path)), round(clock.now() * 1_000_000)
        pruned = prune_folder(tmp_path, SIGNER, before_us=now_us - 200_000_000, now_us=now_us)
        await one.append(call())
    assert len(found(tmp_path)) < size
    report = check(tmp_path)
    assert (report.findings, report.writers[0].first) == ([], pruned[one.name])
    assert prune_folder(tmp_path, SIGNER, before_us=now_us - 200_000_000, now_us=now_us) == {}
    again = prune_folder(tmp_path, SIGNER, before_us=2**60, now_us=now_us)
    report = check(tmp_path, as_of=clock.now() + 10_000)
    assert (report.findings, report.rows, report.writers[0].last) == ([], 1, again[one.name])


@pytest.mark.anyio
async def test_a_prune_that_was_cut_off_leaves_a_log_that_verifies(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock, limit=1500) as one:
        for _ in range(6):
            for _ in range(4):
                await one.append(call())
            clock.advance(60)
            await one.beat()
    before = {file.name: file.read_bytes() for file in found(tmp_path)}
    now_us = round(clock.now() * 1_000_000)
    prune_folder(tmp_path, SIGNER, before_us=now_us - 200_000_000, now_us=now_us)
    for name, text in before.items():
        if not (tmp_path / name).exists():
            (tmp_path / name).write_bytes(text)
    assert check(tmp_path).findings == []


def test_a_full_disk_refuses_and_recovers_without_half_a_row(tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    command = ["unshare", "-rm", sys.executable, "-m", "tests.audit.filling", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.partition("Traceback")[2]) == (0, "")
