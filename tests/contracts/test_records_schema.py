"""Migrations: from nothing to ours, once, all or nothing, never by accident and never backwards."""

import sqlite3
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import anyio
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from portside.errors import RecordsUnavailable, StartFailed
from portside.records import schema, tables
from portside.records.address import parse
from portside.records.connect import open_records
from portside.records.database import connect
from tests import servers
from tests.processes import ROOT
from tests.servers import Postgres, postgres

pytestmark = pytest.mark.anyio

STEPS: Final = ("0001", "0002")

UPGRADE: Final = """
import asyncio, sys
from portside.records import schema
print(*asyncio.run(schema.upgrade(sys.argv[1])))
"""


@pytest.fixture(scope="module")
def server() -> Generator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/records/portside.db"
    return request.getfixturevalue("server").database()


async def execute(url: str, statement: str) -> list[Any]:
    """Run a statement behind portside's back."""
    if url.startswith("postgresql"):
        return await anyio.to_thread.run_sync(servers.execute, url, statement)
    path = parse(url).path
    path.parent.mkdir(exist_ok=True)
    connection = sqlite3.connect(path)
    try:
        rows: list[Any] = connection.execute(statement).fetchall()
        connection.commit()
    finally:
        connection.close()
    return rows


async def tables_in(url: str) -> set[str]:
    """Return the names of our tables that exist."""
    if url.startswith("postgresql"):
        rows = await execute(url, "SELECT tablename FROM pg_tables WHERE tablename LIKE 'portside%'")
    else:
        rows = await execute(url, "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'portside%'")
    return {row[0] for row in rows}


async def test_an_empty_database_is_brought_to_the_newest_schema_once(url: str) -> None:
    assert await schema.current(url) is None
    assert await schema.pending(url) == STEPS
    assert await schema.upgrade(url) == (None, tables.SCHEMA)
    assert await schema.upgrade(url) == (tables.SCHEMA, tables.SCHEMA)
    assert await schema.current(url) == tables.SCHEMA
    assert await schema.pending(url) == ()


async def test_asking_for_the_schema_makes_no_file(tmp_path: Path) -> None:
    assert await schema.pending(f"sqlite:///{tmp_path}/records/portside.db") == STEPS
    assert not await anyio.Path(tmp_path, "records").exists()


async def test_the_migrations_make_exactly_the_tables_of_this_version(url: str) -> None:
    await schema.upgrade(url)

    def differences(connection: Connection) -> list[Any]:
        options = {"version_table": tables.SCHEMA_TABLE, "compare_type": True}
        return compare_metadata(MigrationContext.configure(connection, opts=options), tables.metadata)

    async def compare(connection: AsyncConnection) -> list[Any]:
        return await connection.run_sync(differences)

    database = connect(parse(url), deadline_s=10)
    try:
        assert await database.run(compare) == []
    finally:
        await database.close()


async def test_every_table_carries_our_name(url: str) -> None:
    await schema.upgrade(url)
    assert await tables_in(url) == {tables.SCHEMA_TABLE, *tables.metadata.tables}


async def test_sqlite_is_upgraded_by_opening_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/records/portside.db"
    async with open_records(url) as records:
        assert list(await records.keys.all()) == []
    assert await schema.current(url) == tables.SCHEMA


async def test_postgresql_is_never_upgraded_by_opening_it(server: Postgres) -> None:
    url = await anyio.to_thread.run_sync(server.database)
    with pytest.raises(StartFailed, match="run `portside db upgrade`") as raised:
        async with open_records(url):
            pytest.fail("opened")
    assert "s3cret" not in str(raised.value)
    assert await tables_in(url) == set()


async def test_the_schema_of_a_newer_version_is_refused_by_name_and_left_alone(url: str) -> None:
    await schema.upgrade(url)
    await execute(url, f"UPDATE {tables.SCHEMA_TABLE} SET version_num = '9999'")
    with pytest.raises(StartFailed, match=r"(?s)schema '9999' is not known to portside .*restoring a backup"):
        async with open_records(url):
            pytest.fail("opened")
    with pytest.raises(StartFailed, match="9999"):
        await schema.upgrade(url)
    with pytest.raises(StartFailed, match="9999"):
        await schema.pending(url)
    assert await schema.current(url) == "9999"


async def test_an_upgrade_that_fails_changes_nothing(url: str) -> None:
    await execute(url, "CREATE TABLE portside_audit (somebody_elses INTEGER)")
    with pytest.raises(StartFailed, match=r"upgrade from None to 0002 failed, nothing changed: .*portside_audit"):
        await schema.upgrade(url)
    assert await tables_in(url) == {"portside_audit"}
    await execute(url, "DROP TABLE portside_audit")
    assert await schema.upgrade(url) == (None, tables.SCHEMA)


async def test_upgrades_at_once_do_the_work_once(url: str) -> None:
    found: list[tuple[str | None, str]] = []

    async def upgrade() -> None:
        found.append(await schema.upgrade(url))

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(upgrade)
    assert sorted(str(before) for before, _ in found) == [*[tables.SCHEMA] * 4, "None"]


async def test_processes_that_upgrade_at_once_do_the_work_once(url: str) -> None:
    command = [sys.executable, "-W", "error", "-c", UPGRADE, url]
    found: list[str] = []

    async def upgrade() -> None:
        done = await anyio.run_process(command, cwd=ROOT, check=False)
        found.append((done.stdout + done.stderr).decode())

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(upgrade)
    assert sorted(found) == [*["0002 0002\n"] * 2, "None 0002\n"]


async def test_an_upgrade_waits_for_another_one_no_longer_than_told(url: str) -> None:
    holder = connect(parse(url), deadline_s=10)
    await execute(url, "SELECT 1")  # the file is there
    taken, done = anyio.Event(), anyio.Event()

    async def hold(connection: AsyncConnection) -> None:
        if url.startswith("postgresql"):
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": 0x706F7274})
        taken.set()
        await done.wait()

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: holder.run(hold, writes=True))
            await taken.wait()
            with pytest.raises(RecordsUnavailable):
                await schema.upgrade(url, limit_s=0.3)
            done.set()
    finally:
        await holder.close()
    assert await tables_in(url) == set()
    assert await schema.upgrade(url) == (None, tables.SCHEMA)


async def test_the_command_line_and_the_keys_load_no_database_software() -> None:
    script = (
        "import sys, portside.cli.main, portside.auth.keys\n"
        "print(sorted({'sqlalchemy', 'alembic', 'asyncpg', 'aiosqlite'} & set(sys.modules)))"
    )
    done = await anyio.run_process([sys.executable, "-c", script])
    assert done.stdout == b"[]\n"


async def test_opening_a_current_database_loads_no_migrations(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/records/portside.db"
    await schema.upgrade(url)
    script = (
        "import asyncio, sys\n"
        "from portside.records.connect import open_records\n"
        "async def main():\n"
        "    async with open_records(sys.argv[1]) as records:\n"
        "        await records.ping()\n"
        "asyncio.run(main())\n"
        "print(sorted({'alembic', 'asyncpg'} & set(sys.modules)))"
    )
    done = await anyio.run_process([sys.executable, "-W", "error", "-c", script, url])
    assert done.stdout == b"[]\n"
