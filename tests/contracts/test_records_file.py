"""SQLite's file: nobody else may read it, a process that has it open ends, and what was acknowledged stays."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import anyio
import pytest

from portside.errors import RecordsUnavailable, StartFailed
from portside.records.base import AuditRow, KeyRecord
from portside.records.connect import open_records
from tests.processes import ROOT

pytestmark = pytest.mark.anyio

KEY: Final = KeyRecord("aB3dE6gH", "d1" * 32, "laptop", "user:ann", (), 1_000.5)

HOLDING: Final = """
import asyncio, sys
from portside.records.connect import open_records

async def main():
    async with open_records(sys.argv[1]) as records:
        await records.ping()
        print("open", flush=True)
        END

asyncio.run(main())
"""

APPENDING: Final = """
import asyncio, sys
from portside.records.base import AuditRow
from portside.records.connect import open_records

async def main():
    async with open_records(sys.argv[1]) as records:
        for n in range(1_000_000):
            await records.audit.append([AuditRow("one", n, 1.0, "{}", "h")])
            print(n, flush=True)

asyncio.run(main())
"""


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def script(text: str, url: str) -> Generator[subprocess.Popen[bytes]]:
    """Run a script for the block; nothing is left of it."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", text, url],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def opened(path: Path) -> None:
    async with open_records(f"sqlite:///{path}") as records:
        await records.keys.add(KEY)


async def test_file_and_folder_are_for_their_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = tmp_path / "records" / "portside.db"
        async with open_records(f"sqlite:///{path}") as records:
            await records.keys.add(KEY)
            assert {mode_of(file) for file in path.parent.glob("*")} == {0o600}
            assert sorted(file.name for file in path.parent.glob("*")) == [
                "portside.db",
                "portside.db-shm",
                "portside.db-wal",
            ]
            assert mode_of(path.parent) == 0o700
    finally:
        os.umask(before)


async def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "portside.db"
    path.touch(0o644)
    await opened(path)
    assert mode_of(path) == 0o600


async def test_a_folder_everybody_may_write_to_is_refused_unless_names_in_it_are_safe(tmp_path: Path) -> None:
    await anyio.Path(tmp_path).chmod(0o777)
    with pytest.raises(StartFailed, match="mode 0777"):
        await opened(tmp_path / "portside.db")
    await anyio.Path(tmp_path).chmod(0o1777)
    await opened(tmp_path / "portside.db")


async def test_a_path_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartFailed, match=r"records file .*File exists"):
        await opened(tmp_path / "file" / "portside.db")  # the folder's name is a file's
    with pytest.raises(StartFailed, match=r"records file .*Is a directory"):
        await opened(tmp_path)


async def test_what_is_no_database_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "portside.db"
    path.write_text("not a database\n" * 100, encoding="ascii")
    with pytest.raises(StartFailed, match="expected an SQLite database"):
        await opened(path)
    assert path.read_text(encoding="ascii") == "not a database\n" * 100


async def test_a_file_locked_by_others_is_unavailable_to_writers_until_they_let_go(tmp_path: Path) -> None:
    path = tmp_path / "portside.db"
    async with open_records(f"sqlite:///{path}", deadline_s=1) as records:
        await records.keys.add(KEY)
        other = sqlite3.connect(path, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(RecordsUnavailable, match="database is locked"):
                await records.keys.touch({KEY.id: 2_000.0})
            assert KEY.id in await records.keys.find([KEY.id])
            other.execute("ROLLBACK")
            await records.keys.touch({KEY.id: 2_000.0})
        finally:
            other.close()
        assert [key.last_used for key in await records.keys.all()] == [2_000.0]


async def test_two_that_have_the_file_open_take_turns_at_writing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/portside.db"
    async with open_records(url, deadline_s=10) as one, open_records(url, deadline_s=10) as two:
        async with anyio.create_task_group() as group:
            for n in range(100):
                for writer, records in (("one", one), ("two", two)):
                    group.start_soon(records.audit.append, [AuditRow(writer, n, 1.0, "{}", "h")])
        assert {row.writer: len([r async for r in one.audit.read(row.writer)]) for row in await one.audit.last()} == {
            "one": 100,
            "two": 100,
        }


async def test_a_new_file_that_another_is_writing_to_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "portside.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")  # SQLite refuses to change the journal's mode now, and does not wait
    letting_go = threading.Timer(0.3, other.execute, ["ROLLBACK"])
    letting_go.start()
    try:
        await opened(path)
    finally:
        letting_go.join()
        other.close()


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("raise SystemExit(7)", 7),
        ("raise ValueError", 1),
        ("asyncio.current_task().cancel(); await asyncio.sleep(9)", 1),
        ("await open_records(sys.argv[1]).__aenter__()", 0),
    ],
)
async def test_a_process_that_leaves_in_the_middle_ends(tmp_path: Path, end: str, code: int) -> None:
    with script(HOLDING.replace("END", end), f"sqlite:///{tmp_path}/portside.db") as process:
        process.communicate(timeout=30)
        assert process.returncode == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_process_with_records_open_ends_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    with script(HOLDING.replace("END", "await asyncio.sleep(600)"), f"sqlite:///{tmp_path}/portside.db") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        process.send_signal(number)
        process.communicate(timeout=30)
        assert process.returncode == -number


@pytest.mark.parametrize("acknowledged", [1, 30, 100])
async def test_what_was_acknowledged_before_a_kill_is_there(tmp_path: Path, acknowledged: int) -> None:
    url = f"sqlite:///{tmp_path}/portside.db"
    with script(APPENDING, url) as process:
        assert process.stdout is not None
        for _ in range(acknowledged):
            process.stdout.readline()
        process.kill()
        told = acknowledged + len(process.stdout.read().splitlines())
    async with open_records(url) as records:
        kept = [row.sequence async for row in records.audit.read("one")]
    assert kept[:told] == list(range(told))
    assert len(kept) in (told, told + 1)


async def test_another_process_that_leaves_does_not_take_the_log_of_one_that_stays(tmp_path: Path) -> None:
    """SQLite, How To Corrupt, 2.2: a plain close of the file drops the locks that say somebody is still there."""
    path = tmp_path / "fresh" / "portside.db"
    leaving = (
        f"import sqlite3; db = sqlite3.connect({str(path)!r}); db.execute('SELECT * FROM portside_keys'); db.close()"
    )
    async with open_records(f"sqlite:///{path}") as records:
        await records.keys.add(KEY)
        done = await anyio.run_process([sys.executable, "-c", leaving])
        assert done.returncode == 0
        assert mode_of(path.with_name("portside.db-wal")) == 0o600  # it is there
        seen = sqlite3.connect(path)
        try:
            assert seen.execute("SELECT COUNT(*) FROM portside_keys").fetchone() == (1,)
        finally:
            seen.close()
