"""What the durable ledger promises beyond the suite: it is sealed, swept, and says when it is away (ours)."""

import asyncio
import sqlite3
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from portside.clock import ManualClock
from portside.errors import StateUnavailable
from portside.gateway.durable import DurableLedger
from portside.records import schema
from portside.records.address import parse
from portside.records.connect import open_records
from portside.records.ledger import SWEEP_ROWS, SWEEP_S
from tests import servers
from tests.servers import Postgres, postgres

pytestmark = pytest.mark.anyio

LONG: Final = 60_000
SECRET: Final = b"s" * 32
TEXT: Final = b"the result of a call"


@pytest.fixture(scope="module")
def server() -> Generator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/records/portside.db"
    made = request.getfixturevalue("server").database()
    asyncio.run(schema.upgrade(made))
    return made


async def rows(url: str) -> list[Any]:
    """Return what the table holds, read behind portside's back."""
    statement = "SELECT key, outcome FROM portside_ledger ORDER BY key"
    if url.startswith("postgresql"):
        return [tuple(row) for row in await anyio.to_thread.run_sync(servers.execute, url, statement)]
    connection = sqlite3.connect(parse(url).path)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


async def test_outcomes_survive_whoever_wrote_them_and_are_sealed(url: str) -> None:
    async with open_records(url, deadline_s=10, secrets=[SECRET]) as records:
        ledger = DurableLedger(records.ledger)
        entry = await ledger.begin("k", "d", "r1", ttl_ms=LONG)
        assert await ledger.finish("k", TEXT, token=entry.token, ttl_ms=LONG)
    async with open_records(url, deadline_s=10, secrets=[b"n" * 32, SECRET]) as records:
        found = await DurableLedger(records.ledger).begin("k", "d", "r2", ttl_ms=LONG)
        assert (found.status, found.outcome) == ("done", TEXT)
    [(_, stored)] = await rows(url)
    assert TEXT not in bytes(stored)


async def test_without_a_secret_outcomes_are_kept_as_they_are(url: str) -> None:
    async with open_records(url, deadline_s=10) as records:
        entry = await records.ledger.begin("k", "d", "r1", ttl_ms=LONG)
        await records.ledger.finish("k", TEXT, token=entry.token, ttl_ms=LONG)
        assert (await records.ledger.begin("k", "d", "r2", ttl_ms=LONG)).outcome == TEXT
    assert [bytes(stored) for _, stored in await rows(url)] == [TEXT]


async def test_a_call_whose_outcome_does_not_open_has_ended_all_the_same(url: str) -> None:
    async with open_records(url, deadline_s=10, secrets=[SECRET]) as records:
        entry = await records.ledger.begin("k", "d", "r1", ttl_ms=LONG)
        await records.ledger.finish("k", TEXT, token=entry.token, ttl_ms=LONG)
    async with open_records(url, deadline_s=10, secrets=[b"n" * 32]) as records:
        found = await records.ledger.begin("k", "d", "r2", ttl_ms=LONG)
    assert (found.status, found.outcome) == ("done", None)


async def test_expired_rows_are_swept_now_and_then_and_a_full_hand_at_a_time(url: str) -> None:
    clock = ManualClock()
    async with open_records(url, deadline_s=10, clock=clock) as records:
        ledger = records.ledger
        for number in range(5):
            await ledger.begin(f"old{number}", "d", "r1", ttl_ms=1000)
        await ledger.begin("young", "d", "r1", ttl_ms=10 * LONG * 60)
        clock.advance(2)
        await ledger.begin("new", "d", "r1", ttl_ms=10 * LONG * 60)
        assert len(await rows(url)) == 7
        clock.advance(SWEEP_S)
        await ledger.begin("newer", "d", "r1", ttl_ms=LONG)
        assert [key for key, _ in await rows(url)] == ["new", "newer", "young"]
        assert await ledger.sweep() == 0
        assert SWEEP_ROWS > 5


async def test_a_key_that_was_swept_gets_a_higher_token(url: str) -> None:
    clock = ManualClock()
    async with open_records(url, deadline_s=10, clock=clock) as records:
        old = await records.ledger.begin("k", "d", "r1", ttl_ms=1000)
        clock.advance(2)
        assert await records.ledger.sweep() == 1
        new = await records.ledger.begin("k", "d", "r1", ttl_ms=1000)
        assert (new.status, new.token > old.token) == ("new", True)
        assert not await records.ledger.finish("k", TEXT, token=old.token, ttl_ms=LONG)


async def test_many_replicas_claim_many_keys_at_once_and_each_is_one_ones(url: str) -> None:
    async with open_records(url, deadline_s=20) as one, open_records(url, deadline_s=20) as other:
        ledgers = [one.ledger, other.ledger]
        found = await asyncio.gather(
            *(ledgers[n % 2].begin(f"k{n % 10}", "d", f"r{n}", ttl_ms=LONG) for n in range(80))
        )
    assert sum(1 for entry in found if entry.status == "new") == 10
    assert {entry.status for entry in found} == {"new", "running"}


async def test_records_that_are_away_are_state_that_is_away(url: str) -> None:
    async with open_records(url, deadline_s=10) as records:
        ledger = DurableLedger(records.ledger)
    with pytest.raises(StateUnavailable, match="closed"):
        await ledger.begin("k", "d", "r1", ttl_ms=LONG)
    with pytest.raises(StateUnavailable, match="closed"):
        await ledger.finish("k", TEXT, token=1, ttl_ms=LONG)
