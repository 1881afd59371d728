"""The log in the durable store: the real one, on SQLite and on PostgreSQL."""

import asyncio
import sqlite3
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest
from anyio.to_thread import run_sync

from portside.audit.base import AuditUnavailable
from portside.audit.finding import Report
from portside.audit.retention import prune_log
from portside.audit.sinks import records
from portside.audit.sinks.records import RecordsSink
from portside.audit.verify import Verification
from portside.audit.writer import Writer
from portside.clock import ManualClock
from portside.records import schema
from portside.records.base import AuditLog
from portside.records.connect import open_records
from tests import servers
from tests.audit.kept import SIGNER, call
from tests.servers import Postgres, postgres

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server() -> Generator[Postgres]:
    with postgres() as running:
        running.prepare(lambda url: asyncio.run(schema.upgrade(url)))
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'records' / 'records.db'}"
    running: Postgres = request.getfixturevalue("server")
    return running.emptied()


async def change(url: str, statement: str) -> None:
    """Change the database behind everybody's back."""
    if not url.startswith("sqlite:///"):
        await run_sync(servers.execute, url, statement)
        return
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database, database:
        database.execute(statement)


def opened(log: AuditLog, clock: ManualClock, server_id: str = "web-1") -> Writer:
    return Writer(RecordsSink(log), SIGNER, server_id=server_id, clock=clock)


async def check(log: AuditLog) -> Report:
    verification = Verification([SIGNER.public])
    async for row in records.read(log):
        verification.feed(row)
    return verification.finish()


async def test_replicas_write_into_one_table_and_it_verifies(url: str) -> None:
    clock = ManualClock()
    async with open_records(url) as store:
        async with opened(store.audit, clock) as one, opened(store.audit, clock, "web-2") as two:
            await asyncio.gather(*(replica.append(call()) for replica in (one, two) for _ in range(100)))
            clock.advance(100)
            await one.beat()
        report = await check(store.audit)
    assert (report.findings, report.rows, report.verified) == ([], 205, 205)
    assert report.heads_compared > 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE portside_audit SET entry = replace(entry, 'send_mail', 'read_mail') WHERE sequence = 5",
        "UPDATE portside_audit SET hash = upper(hash) WHERE sequence = 5",
        "UPDATE portside_audit SET time = time + 1 WHERE sequence = 5",
        "UPDATE portside_audit SET checkpoint = upper(checkpoint) WHERE sequence = 1",
        "UPDATE portside_audit SET checkpoint = NULL WHERE sequence = 1",
        "UPDATE portside_audit SET checkpoint = 'nonsense' WHERE sequence = 5",
        "UPDATE portside_audit SET checkpoint = '' WHERE sequence = 5",
        "UPDATE portside_audit SET writer = 'x' WHERE sequence = 5",
        "UPDATE portside_audit SET sequence = 50 WHERE sequence = 5",
        "UPDATE portside_audit SET entry = 'x' WHERE sequence = 5",
        "DELETE FROM portside_audit WHERE sequence = 5",
    ],
)
async def test_a_change_to_the_table_is_found(url: str, statement: str) -> None:
    async with open_records(url) as store, opened(store.audit, ManualClock()) as one:
        for _ in range(10):
            await one.append(call())
    await change(url, statement)
    async with open_records(url) as store:
        report = await check(store.audit)
    assert report.findings
    assert report.findings[0].covers(1 if "= 1" in statement else 5)


async def test_a_pruned_table_verifies(url: str) -> None:
    clock = ManualClock()
    async with open_records(url) as store:
        async with opened(store.audit, clock) as one:
            for _ in range(5):
                await one.append(call())
                clock.advance(60)
                await one.beat()
            now_us = round(clock.now() * 1_000_000)
            pruned = await prune_log(store.audit, SIGNER, before_us=now_us - 100_000_000, now_us=now_us)
            await one.append(call())
        report = await check(store.audit)
    assert (report.findings, report.writers[0].first) == ([], pruned[one.name])


async def test_a_store_whose_table_is_gone_fails_the_append(url: str) -> None:
    async with open_records(url) as store:
        one = opened(store.audit, ManualClock())
        await one.open()
        await change(url, "ALTER TABLE portside_audit RENAME TO elsewhere")
        try:
            with pytest.raises(AuditUnavailable):
                await one.append(call())
            with pytest.raises(AuditUnavailable):
                await one.close()
        finally:
            await change(url, "ALTER TABLE elsewhere RENAME TO portside_audit")
