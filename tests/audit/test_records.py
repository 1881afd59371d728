"""The log in the durable store: the real one, on SQLite."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from portside.audit.base import AuditUnavailable
from portside.audit.finding import Report
from portside.audit.retention import prune_log
from portside.audit.sinks import records
from portside.audit.sinks.records import RecordsSink
from portside.audit.verify import Verification
from portside.audit.writer import Writer
from portside.clock import ManualClock
from portside.records.base import AuditLog
from portside.records.connect import open_records
from tests.audit.kept import SIGNER, call

pytestmark = pytest.mark.anyio


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'records' / 'records.db'}"


def opened(log: AuditLog, clock: ManualClock, server_id: str = "web-1") -> Writer:
    return Writer(RecordsSink(log), SIGNER, server_id=server_id, clock=clock)


async def check(log: AuditLog) -> Report:
    verification = Verification([SIGNER.public])
    async for row in records.read(log):
        verification.feed(row)
    return verification.finish()


async def test_replicas_write_into_one_table_and_it_verifies(tmp_path: Path) -> None:
    clock = ManualClock()
    async with open_records(url(tmp_path)) as store:
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
async def test_a_change_to_the_table_is_found(tmp_path: Path, statement: str) -> None:
    async with open_records(url(tmp_path)) as store, opened(store.audit, ManualClock()) as one:
        for _ in range(10):
            await one.append(call())
    with sqlite3.connect(tmp_path / "records" / "records.db") as database:
        database.execute(statement)
    database.close()
    async with open_records(url(tmp_path)) as store:
        report = await check(store.audit)
    assert report.findings
    assert report.findings[0].covers(1 if "= 1" in statement else 5)


async def test_a_pruned_table_verifies(tmp_path: Path) -> None:
    clock = ManualClock()
    async with open_records(url(tmp_path)) as store:
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


async def test_a_store_that_is_closed_fails_the_append(tmp_path: Path) -> None:
    async with open_records(url(tmp_path)) as store:
        one = opened(store.audit, ManualClock())
        await one.open()
        with sqlite3.connect(tmp_path / "records" / "records.db") as database:
            database.execute("DROP TABLE portside_audit")
        database.close()
        with pytest.raises(AuditUnavailable):
            await one.append(call())
        with pytest.raises(AuditUnavailable):
            await one.close()
