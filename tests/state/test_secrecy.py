"""What whoever reads all of Redis learns, and what whoever writes to it achieves."""

import logging
from collections.abc import Sequence
from typing import Final, cast

import msgspec
import pytest

from portside.seal import Box
from portside.state.base import Limit, life
from portside.state.connect import State, redis_state
from portside.wire.session import SessionRecord
from tests.redis_servers import RedisServer
from tests.resp import Reply

pytestmark = pytest.mark.anyio

SECRETS: Final = (b"k" * 32,)
OTHERS: Final = (b"o" * 32,)
ID: Final = "canary-session-id"
RECORD: Final = SessionRecord(
    id=ID,
    revision="2025-11-25",
    initialize={"clientInfo": {"name": "canary-client"}},
    principal="canary-principal",
    created=1.0,
    log_level="canary-level",
    subscriptions=frozenset({"canary://subscription"}),
)


async def filled(state: State) -> int:
    """Store one of everything and return the token of the call in the ledger."""
    epoch = await state.sessions.create(RECORD, "r1")
    await state.streams.append(ID, "1", b"", epoch=epoch, call=b"canary-note")
    await state.streams.append(ID, "1", b"canary-event", epoch=epoch)
    await state.counters.hit([Limit("canary-principal", 5, 60_000)])
    await state.leases.acquire(life("r1"), "r1", ttl_ms=60_000)
    entry = await state.ledger.begin("canary-principal/canary-key", "canary-digest", "r1", ttl_ms=60_000)
    await state.ledger.finish("canary-principal/canary-key", b"canary-outcome", token=entry.token, ttl_ms=60_000)
    await state.mailbox.send("r1", [b"sealed by whoever sent it"], ttl_ms=60_000)
    await state.news.publish(b"sealed by whoever published it")
    await state.ping()
    return entry.token


async def keys_of(server: RedisServer) -> list[bytes]:
    return sorted(cast("list[bytes]", await server.command("KEYS", "*")))


async def everything(server: RedisServer) -> bytes:
    """Return every key and value there is."""
    readers = {
        b"hash": ["HGETALL"],
        b"stream": ["XRANGE", "-", "+"],
        b"string": ["GET"],
        b"zset": ["ZRANGE", 0, -1],
        b"list": ["LRANGE", 0, -1],
    }
    found: list[bytes] = []
    for key in await keys_of(server):
        kind = cast("bytes", await server.command("TYPE", key))
        command, *rest = readers[kind]
        found += [key, *flat(await server.command(str(command), key, *rest))]
    return b"\n".join(found)


def flat(reply: Reply) -> list[bytes]:
    if isinstance(reply, list):
        return [part for item in reply for part in flat(item)]
    return [reply] if isinstance(reply, bytes) else []


async def test_whoever_reads_all_of_it_learns_nothing(redis: RedisServer) -> None:
    async with redis_state(redis.url, redis.password, SECRETS) as state:
        await filled(state)
        seen = await everything(redis)
        assert b"canary" not in seen
        assert len(seen) > 1000


async def test_every_key_is_ours_and_expires(redis: RedisServer) -> None:
    async with redis_state(redis.url, redis.password, SECRETS, prefix="mine") as state:
        await filled(state)
        await state.mailbox.receive("r1", wait_ms=0)
        await state.mailbox.send("r2", [b"a", b"b"], ttl_ms=60_000)
        await state.mailbox.take_back("r2", b"a")
        await state.sessions.touch([ID, "unknown"])
        await state.streams.drop(ID)
        keys = await keys_of(redis)
        assert len(keys) >= 9
        assert [key for key in keys if not key.startswith(b"{mine}:")] == []
        assert [key for key in keys if cast("int", await redis.command("PTTL", key)) < 1] == []


async def test_what_other_keys_sealed_counts_as_absent(redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    async with redis_state(redis.url, redis.password, OTHERS) as theirs:
        token = await filled(theirs)
    async with redis_state(redis.url, redis.password, SECRETS) as state:
        with caplog.at_level(logging.WARNING, "portside.state"):
            await assert_nothing_opens(state, token)
            await assert_nothing_opens(state, token)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == len(set(told)) == 4
    assert "canary" not in "".join(told)


async def assert_nothing_opens(state: State, token: int) -> None:
    assert await state.sessions.load(ID) is None
    tail = await state.streams.after(ID, "1.1")
    assert tail is not None
    assert tail.events == []
    assert await state.streams.unanswered(ID) == {}
    again = await state.ledger.begin("canary-principal/canary-key", "canary-digest", "r2", ttl_ms=60_000)
    assert (again.status, again.token, again.outcome) == ("done", token, None)


async def test_keys_rotate_while_two_releases_run(redis: RedisServer) -> None:
    async with redis_state(redis.url, redis.password, OTHERS) as before:
        await filled(before)
    async with redis_state(redis.url, redis.password, (*SECRETS, *OTHERS)) as state:
        held = await state.sessions.load(ID)
        assert held is not None
        assert held.record == RECORD
        tail = await state.streams.after(ID, "1.1")
        assert tail is not None
        assert [event.data for event in tail.events] == [b"canary-event"]


async def test_blobs_moved_elsewhere_do_not_open(redis: RedisServer) -> None:
    async with redis_state(redis.url, redis.password, SECRETS) as state:
        for id in ("a", "b"):
            record = SessionRecord(id, "2025-11-25", {}, f"principal of {id}", 1.0)
            epoch = await state.sessions.create(record, "r1")
            for stream in ("1", "2"):
                await state.streams.append(id, stream, b"", epoch=epoch, call=b"note")
                await state.streams.append(id, stream, b"event", epoch=epoch)
            entry = await state.ledger.begin(id, "d", "r1", ttl_ms=60_000)
            await state.ledger.finish(id, b"outcome", token=entry.token, ttl_ms=60_000)
        await swap(redis, b"session:", [b"record"])
        await swap(redis, b"calls:", [b"1", b"2"])
        await swap(redis, b"ledger:", [b"outcome"])
        await swap_streams(redis)
        for id in ("a", "b"):
            assert await state.sessions.load(id) is None
            assert await state.streams.unanswered(id) == {}
            assert (await state.ledger.begin(id, "d", "r1", ttl_ms=60_000)).outcome is None
            for event_id in ("1.1", "2.3"):
                tail = await state.streams.after(id, event_id)
                assert tail is not None
                assert tail.events == []


async def swap(server: RedisServer, kind: bytes, fields: Sequence[bytes]) -> None:
    """Exchange fields between the two hashes of a kind."""
    one, other = [key for key in await keys_of(server) if kind in key]
    for field in fields:
        mine, theirs = await server.commands([("HGET", one, field), ("HGET", other, field)])
        await server.commands(
            [("HSET", one, field, cast("bytes", theirs)), ("HSET", other, field, cast("bytes", mine))]
        )


async def swap_streams(server: RedisServer) -> None:
    """Within each session exchange the contents of the two streams' events; everything else stays in its place."""
    for key in [key for key in await keys_of(server) if b"events:" in key]:
        entries = cast("list[tuple[bytes, list[bytes]]]", await server.command("XRANGE", key, "-", "+"))
        await server.command("DEL", key)
        for id, (_, stream, _, size, _, data) in entries:
            moved = data if not data else next(d for _, (_, s, _, _, _, d) in entries if d and s != stream)
            await server.command("XADD", key, id, "stream", stream, "size", size, "data", moved)


@pytest.mark.parametrize("forged", [b"", b"x", b"\x00" * 28, b"{}" * 100])
async def test_forged_blobs_do_not_open_and_crash_nothing(redis: RedisServer, forged: bytes) -> None:
    async with redis_state(redis.url, redis.password, SECRETS) as state:
        token = await filled(state)
        (session,) = [key for key in await keys_of(redis) if b"session:" in key]
        (calls,) = [key for key in await keys_of(redis) if b"calls:" in key]
        (events,) = [key for key in await keys_of(redis) if b"events:" in key]
        (ledger,) = [key for key in await keys_of(redis) if b"ledger:" in key]
        await redis.command("HSET", session, "record", forged)
        await redis.command("HSET", calls, "1", forged)
        await redis.command("HSET", ledger, "outcome", forged)
        await redis.command("XDEL", events, "2-0")
        await redis.command("XADD", events, "3-0", "stream", "1", "size", "1", "data", forged)
        await assert_nothing_opens(state, token)


async def test_members_of_a_later_release_are_ignored(redis: RedisServer) -> None:
    async with redis_state(redis.url, redis.password, SECRETS) as state:
        await state.sessions.create(RECORD, "r1")
        (session,) = [key for key in await keys_of(redis) if b"session:" in key]
        box, place = Box("session", SECRETS), session.rpartition(b":")[2]
        sealed = cast("bytes", await redis.command("HGET", session, "record"))
        stored = msgspec.json.decode(box.open(sealed, place) or b"")
        later = {**stored, "v": 2, "invented": {"later": True}}
        await redis.command("HSET", session, "record", box.seal(msgspec.json.encode(later), place))
        held = await state.sessions.load(ID)
        assert held is not None
        assert held.record == RECORD
        unreadable = {"v": 3, "everything": "else"}
        await redis.command("HSET", session, "record", box.seal(msgspec.json.encode(unreadable), place))
        assert await state.sessions.load(ID) is None


async def test_without_a_secret_nothing_is_shared(redis: RedisServer) -> None:
    with pytest.raises(ValueError, match="expected at least one secret"):
        async with redis_state(redis.url, redis.password, ()):
            pass
