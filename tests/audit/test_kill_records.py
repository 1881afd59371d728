"""`kill -9` of what writes the log into a database, and of the database: what was said to be kept is there."""

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import msgspec
import pytest
from anyio.to_thread import run_sync

from portside.audit import chain
from portside.audit.base import AuditUnavailable, Stored
from portside.audit.finding import Report
from portside.audit.sinks import records
from portside.audit.sinks.records import RecordsSink
from portside.audit.tail import RETRY_S
from portside.audit.verify import SILENCE_US, Verification
from portside.audit.writer import Writer
from portside.clock import Clock, ManualClock, SystemClock
from portside.records import schema
from portside.records.base import AuditLog
from portside.records.connect import open_records
from tests.audit.kept import SIGNER, call
from tests.processes import ROOT
from tests.servers import Postgres, postgres

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(1200)]
KILLS = int(os.environ.get("PORTSIDE_AUDIT_KILLS", "8"))


@pytest.fixture(scope="module")
def server() -> Generator[Postgres]:
    with postgres() as running:
        running.prepare(lambda url: asyncio.run(schema.upgrade(url)))
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        made = f"sqlite:///{tmp_path / 'records.db'}"
        asyncio.run(schema.upgrade(made))
        return made
    running: Postgres = request.getfixturevalue("server")
    return running.emptied()


async def test_no_acknowledged_entry_is_missing_after_a_kill(url: str) -> None:
    """Row E2 of the reliability bar; PORTSIDE_AUDIT_KILLS=500 is the whole of it."""
    chance = random.Random(4)
    acknowledged = [line for _ in range(KILLS) for line in killed_after(url, chance.randrange(1, 400))]
    async with open_records(url) as store:
        async with started(store.audit, SystemClock()):
            pass
        kept = {f"{row.writer} {row.sequence} {row.hash}" for row in await stored(store.audit)}
        report = await check(store.audit, 0)
    assert [line for line in acknowledged if line not in kept] == []
    assert len(acknowledged) > KILLS
    assert report.findings == []
    assert len(report.writers) == KILLS + 1


async def test_a_killed_writer_counts_as_cut_only_until_somebody_looks_who_would_have_seen_it_go_on(url: str) -> None:
    """Ours: a database does not say whose process has ended, as the lock on a file does."""
    killed_after(url, 10)
    now = SystemClock().now()
    async with open_records(url) as store:
        async with started(store.audit, SystemClock()):
            pass
        later_us = round(now * 1_000_000) + 2 * SILENCE_US
        before = await check(store.audit, later_us)
        async with started(store.audit, ManualClock(now + 2 * SILENCE_US / 1_000_000)):
            pass
        after = await check(store.audit, later_us)
    assert [(one.kind, one.writer.partition(".")[0]) for one in before.findings] == [("cut", "killed")]
    assert after.findings == []


async def test_a_database_that_crashes_fails_appends_and_the_log_goes_on_once_it_is_back(server: Postgres) -> None:
    clock = ManualClock()
    url = await run_sync(server.emptied)
    async with open_records(url, deadline_s=10) as store, started(store.audit, clock) as one:
        receipts = [await one.append(call()) for _ in range(5)]
        server.kill()
        with pytest.raises(AuditUnavailable):
            await one.append(call())
        await run_sync(server.start)
        clock.advance(RETRY_S)
        receipts += [await one.append(call()) for _ in range(5)]
        kept = {row.hash for row in await stored(store.audit)}
        report = await check(store.audit, 0)
    assert [receipt.sequence for receipt in receipts if receipt.hash not in kept] == []
    assert report.findings == []


def started(log: AuditLog, clock: Clock) -> Writer:
    return Writer(RecordsSink(log), SIGNER, server_id="next", clock=clock)


async def stored(log: AuditLog) -> list[Stored]:
    rows = [row async for row in records.read(log)]
    return [
        msgspec.structs.replace(row, sequence=chain.decode(row.entry).sequence)
        for row in rows
        if isinstance(row, Stored)
    ]


async def check(log: AuditLog, as_of_us: int) -> Report:
    verification = Verification([SIGNER.public])
    async for row in records.read(log):
        verification.feed(row)
    return verification.finish(as_of_us=as_of_us or None)


def killed_after(url: str, lines: int) -> list[str]:
    """Return what a writer acknowledged, which is killed as soon as it has printed that many lines."""
    command = [sys.executable, "-m", "tests.audit.writing_records", url, "32"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            printed = [process.stdout.readline() for _ in range(lines)]
        finally:
            process.kill()
        printed += process.stdout.readlines()
    return [line.strip() for line in printed if line.endswith("\n")]
