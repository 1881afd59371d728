"""What every `Ledger` promises."""

import asyncio
from collections.abc import Generator
from pathlib import Path

import pytest

from portside.records import schema
from portside.state.base import Entry
from tests.contracts.ledgers import on_records
from tests.contracts.worlds import Open, in_memory, on_redis
from tests.servers import Postgres, postgres

pytestmark = pytest.mark.anyio

LONG = 60_000


@pytest.fixture(scope="module")
def server() -> Generator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture(params=["memory", "redis", "sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    if request.param == "memory":
        return in_memory
    if request.param == "redis":
        return on_redis(request.getfixturevalue("redis"))
    if request.param == "sqlite":
        return on_records(f"sqlite:///{tmp_path}/records/portside.db")
    url = request.getfixturevalue("server").database()
    asyncio.run(schema.upgrade(url))
    return on_records(url)


async def test_a_key_is_claimed_once(opened: Open) -> None:
    async with opened() as world:
        replicas = (world.here, world.there)
        entries = await asyncio.gather(
            *(replicas[n % 2].ledger.begin("k", "d", f"r{n}", ttl_ms=LONG) for n in range(20))
        )
        (new,) = [entry for entry in entries if entry.status == "new"]
        rest = [entry for entry in entries if entry.status != "new"]
        assert rest == [Entry("running", new.token, new.owner)] * 19


async def test_a_call_that_ended_is_answered_with_its_outcome(opened: Open) -> None:
    async with opened() as world:
        entry = await world.here.ledger.begin("k", "d", "r1", ttl_ms=LONG)
        assert await world.here.ledger.finish("k", b"outcome", token=entry.token, ttl_ms=LONG)
        again = await world.there.ledger.begin("k", "d", "r2", ttl_ms=LONG)
        assert again == Entry("done", entry.token, "r1", b"outcome")


async def test_an_empty_outcome_is_an_outcome(opened: Open) -> None:
    async with opened() as world:
        entry = await world.here.ledger.begin("k", "d", "r1", ttl_ms=LONG)
        await world.here.ledger.finish("k", b"", token=entry.token, ttl_ms=LONG)
        assert (await world.there.ledger.begin("k", "d", "r2", ttl_ms=LONG)).outcome == b""


async def test_another_call_under_the_same_key_is_a_conflict(opened: Open) -> None:
    async with opened() as world:
        entry = await world.here.ledger.begin("k", "d", "r1", ttl_ms=LONG)
        assert (await world.there.ledger.begin("k", "e", "r2", ttl_ms=LONG)).status == "conflict"
        retaken = await world.there.ledger.retake("k", "e", "r2", token=entry.token, ttl_ms=LONG)
        assert retaken.status == "conflict"
        await world.here.ledger.finish("k", b"outcome", token=entry.token, ttl_ms=LONG)
        assert (await world.there.ledger.begin("k", "e", "r2", ttl_ms=LONG)) == Entry("conflict")


async def test_keys_do_not_share(opened: Open) -> None:
    async with opened() as world:
        one = await world.here.ledger.begin("k", "d", "r1", ttl_ms=LONG)
        other = await world.here.ledger.begin("l", "d", "r1", ttl_ms=LONG)
        assert (one.status, other.status) == ("new", "new")
        assert not await world.here.ledger.finish("l", b"x", token=one.token, ttl_ms=LONG)


async def test_a_lost_call_is_retaken_once_and_its_runner_fenced(opened: Open) -> None:
    async with opened() as world:
        lost = await world.here.ledger.begin("k", "d", "r1", ttl_ms=LONG)
        entries = await asyncio.gather(
            *(world.there.ledger.retake("k", "d", f"r{n}", token=lost.token, ttl_ms=LONG) for n in range(2, 8))
        )
        (new,) = [entry for entry in entries if entry.status == "new"]
        assert new.token > lost.token
        assert {entry.status for entry in entries} == {"new", "running"}
        assert not await world.here.ledger.finish("k", b"late", token=lost.token, ttl_ms=LONG)
        assert not await world.here.ledger.forget("k", token=lost.token)
        assert await world.there.ledger.finish("k", b"outcome", token=new.token, ttl_ms=LONG)


async def test_retaking_tells_what_became_of_a_call_meanwhile(opened: Open) -> None:
    async with opened() as world:
        entry = await world.here.ledger.begin("k", "d", "r1", ttl_ms=LONG)
        await world.here.ledger.finish("k", b"outcome", token=entry.token, ttl_ms=LONG)
        retaken = await world.there.ledger.retake("k", "d", "r2", token=entry.token, ttl_ms=LONG)
        assert retaken == Entry("done", entry.token, "r1", b"outcome")
        free = await world.there.ledger.retake("gone", "d", "r2", token=entry.token, ttl_ms=LONG)
        assert (free.status, free.owner) == ("new", "r2")


async def test_a_refused_call_frees_its_key(opened: Open) -> None:
    async with opened() as world:
        entry = await world.here.ledger.begin("k", "d", "r1", ttl_ms=LONG)
        assert await world.here.ledger.forget("k", token=entry.token)
        assert not await world.here.ledger.forget("k", token=entry.token)
        again = await world.there.ledger.begin("k", "e", "r2", ttl_ms=LONG)
        assert again.status == "new"
        assert again.token > entry.token


async def test_a_call_that_ended_is_not_forgotten(opened: Open) -> None:
    async with opened() as world:
        entry = await world.here.ledger.begin("k", "d", "r1", ttl_ms=LONG)
        await world.here.ledger.finish("k", b"outcome", token=entry.token, ttl_ms=LONG)
        assert not await world.here.ledger.forget("k", token=entry.token)
        assert (await world.there.ledger.begin("k", "d", "r2", ttl_ms=LONG)).status == "done"


async def test_storing_the_same_end_again_does_no_harm(opened: Open) -> None:
    async with opened() as world:
        entry = await world.here.ledger.begin("k", "d", "r1", ttl_ms=LONG)
        assert await world.here.ledger.finish("k", b"outcome", token=entry.token, ttl_ms=LONG)
        assert await world.here.ledger.finish("k", b"outcome", token=entry.token, ttl_ms=LONG)


async def test_entries_expire(opened: Open) -> None:
    async with opened() as world:
        running = await world.here.ledger.begin("running", "d", "r1", ttl_ms=30)
        done = await world.here.ledger.begin("done", "d", "r1", ttl_ms=LONG)
        await world.here.ledger.finish("done", b"outcome", token=done.token, ttl_ms=30)
        await world.elapse(31)
        assert not await world.here.ledger.finish("running", b"late", token=running.token, ttl_ms=LONG)
        assert (await world.here.ledger.begin("running", "d", "r1", ttl_ms=LONG)).status == "new"
        assert (await world.here.ledger.begin("done", "d", "r1", ttl_ms=LONG)).status == "new"
