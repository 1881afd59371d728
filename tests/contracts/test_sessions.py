"""What every `Sessions` promises."""

import asyncio
from dataclasses import replace

import pytest

from portside.state.base import Held, life
from portside.state.bounds import Bounds
from portside.wire.session import SessionRecord
from tests.contracts.worlds import Open

pytestmark = pytest.mark.anyio

RECORD = SessionRecord(
    id="a",
    revision="2025-11-25",
    initialize={"capabilities": {"roots": {}}, "clientInfo": {"name": "ü", "version": "1"}},
    principal="carla",
    created=1.5,
    is_initialized=True,
    log_level="info",
    subscriptions=frozenset({"file:///a", "file:///b"}),
)
LONG = 60_000


async def test_a_new_session_is_found_by_every_replica_as_it_was(opened: Open) -> None:
    async with opened() as world:
        epoch = await world.here.sessions.create(RECORD, "r1")
        assert await world.there.sessions.load("a") == Held(RECORD, "r1", epoch)
        assert await world.there.sessions.count() == 1


async def test_an_unknown_session_is_none(opened: Open) -> None:
    async with opened() as world:
        assert await world.here.sessions.load("a") is None
        assert await world.here.sessions.count() == 0


async def test_saving_in_its_epoch_replaces_the_record(opened: Open) -> None:
    async with opened() as world:
        epoch = await world.here.sessions.create(RECORD, "r1")
        changed = replace(RECORD, log_level="debug", subscriptions=frozenset[str]())
        assert await world.here.sessions.save(changed, epoch=epoch)
        assert await world.there.sessions.load("a") == Held(changed, "r1", epoch)


async def test_a_former_owner_cannot_save(opened: Open) -> None:
    async with opened() as world:
        epoch = await world.here.sessions.create(RECORD, "r1")
        claimed = await world.there.sessions.claim("a", "r2", epoch=epoch)
        assert claimed is not None
        assert claimed > epoch
        assert not await world.here.sessions.save(replace(RECORD, log_level="error"), epoch=epoch)
        assert await world.here.sessions.load("a") == Held(RECORD, "r2", claimed)


async def test_saving_what_is_gone_does_not_bring_it_back(opened: Open) -> None:
    async with opened() as world:
        epoch = await world.here.sessions.create(RECORD, "r1")
        assert await world.there.sessions.remove("a")
        assert not await world.there.sessions.remove("a")
        assert not await world.here.sessions.save(RECORD, epoch=epoch)
        assert await world.here.sessions.load("a") is None
        assert await world.here.sessions.count() == 0


async def test_the_session_of_a_living_owner_cannot_be_claimed(opened: Open) -> None:
    async with opened() as world:
        await world.here.leases.acquire(life("r1"), "r1", ttl_ms=LONG)
        epoch = await world.here.sessions.create(RECORD, "r1")
        assert await world.there.sessions.claim("a", "r2", epoch=epoch) is None
        assert await world.there.sessions.load("a") == Held(RECORD, "r1", epoch)


async def test_the_session_of_an_owner_whose_life_lapsed_is_claimed_once(opened: Open) -> None:
    async with opened() as world:
        await world.here.leases.acquire(life("r1"), "r1", ttl_ms=20)
        epoch = await world.here.sessions.create(RECORD, "r1")
        await world.elapse(21)
        claims = await asyncio.gather(
            *(world.there.sessions.claim("a", f"r{number}", epoch=epoch) for number in range(2, 12))
        )
        assert [claim > epoch for claim in claims if claim is not None] == [True]


async def test_a_session_let_go_is_claimed_although_its_owner_lives(opened: Open) -> None:
    async with opened() as world:
        await world.here.leases.acquire(life("r1"), "r1", ttl_ms=LONG)
        epoch = await world.here.sessions.create(RECORD, "r1")
        assert await world.here.sessions.release("a", epoch=epoch)
        assert await world.there.sessions.load("a") == Held(RECORD, "", epoch)
        claimed = await world.there.sessions.claim("a", "r2", epoch=epoch)
        assert claimed is not None
        assert claimed > epoch


async def test_a_former_owner_cannot_let_go(opened: Open) -> None:
    async with opened() as world:
        epoch = await world.here.sessions.create(RECORD, "r1")
        await world.there.sessions.claim("a", "r2", epoch=epoch)
        assert not await world.here.sessions.release("a", epoch=epoch)
        assert not await world.here.sessions.release("unknown", epoch=epoch)


async def test_what_is_gone_cannot_be_claimed(opened: Open) -> None:
    async with opened() as world:
        assert await world.here.sessions.claim("a", "r2", epoch=1) is None


async def test_an_idle_session_expires(opened: Open) -> None:
    async with opened(Bounds(idle_ms=30)) as world:
        epoch = await world.here.sessions.create(RECORD, "r1")
        await world.elapse(31)
        assert await world.here.sessions.load("a") is None
        assert not await world.here.sessions.save(RECORD, epoch=epoch)
        assert await world.here.sessions.count() == 0


async def test_a_session_in_use_does_not_expire(opened: Open) -> None:
    async with opened(Bounds(idle_ms=800)) as world:
        await world.here.sessions.create(RECORD, "r1")
        for _ in range(4):
            await world.elapse(250)
            await world.there.sessions.touch(["unknown", "a"])
        assert await world.here.sessions.load("a") is not None
        assert await world.here.sessions.count() == 1


async def test_many_sessions_are_touched_at_once(opened: Open) -> None:
    async with opened() as world:
        for number in range(1500):
            await world.here.sessions.create(replace(RECORD, id=f"s{number}"), "r1")
        await world.there.sessions.touch([f"s{number}" for number in range(1500)])
        assert await world.there.sessions.count() == 1500


async def test_creating_under_an_id_that_exists_begins_anew(opened: Open) -> None:
    async with opened() as world:
        await world.here.sessions.create(RECORD, "r1")
        assert await world.there.sessions.create(replace(RECORD, principal=None), "r2") >= 1
        held = await world.here.sessions.load("a")
        assert held is not None
        assert (held.owner, held.record.principal) == ("r2", None)
        assert await world.here.sessions.count() == 1
