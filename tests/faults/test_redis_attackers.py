"""Whoever reads all of Redis learns nothing, and whoever writes there can disturb, but run no tool and mix up no users.

What is sealed, and for which place, is said in docs/state.md.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import pytest

from portside.gateway.letters import PURPOSE
from portside.seal import Box
from portside.state.redis.sessions import hashed
from tests.faults.asker import Asker, Told
from tests.faults.replicas import Cluster
from tests.faults.sick import COUNT, Users, recovered, settled, sick_cluster, store, users
from tests.protected.made import Deployment, call
from tests.redis_servers import PASSWORD
from tests.resp import Reply

pytestmark = [pytest.mark.anyio, pytest.mark.timing, pytest.mark.timeout(120)]

Ran = tuple[Cluster, Deployment]
PREFIX: Final = "{portside}:"

READ: Final[dict[bytes, tuple[str, tuple[str, ...]]]] = {
    b"string": ("GET", ()),
    b"hash": ("HGETALL", ()),
    b"list": ("LRANGE", ("0", "-1")),
    b"set": ("SMEMBERS", ()),
    b"zset": ("ZRANGE", ("0", "-1", "WITHSCORES")),
    b"stream": ("XRANGE", ("-", "+")),
}
"""How each type of value is read as a whole: the words before its key and after it."""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Generator[Ran]:
    with sick_cluster(tmp_path_factory.mktemp("attacked")) as started:
        yield started


@pytest.fixture
async def asking(ran: Ran, request: pytest.FixtureRequest) -> AsyncGenerator[Users]:
    async with users(*ran, request.node.name) as made:
        await settled(made)
        yield made


async def do(cluster: Cluster, *words: str | bytes | int) -> Reply:
    """Have Redis do something, as an attacker who has its password."""
    return await store(cluster).command(*words)


def flat(reply: Reply) -> bytes:
    """Return all that a reply holds, in a row."""
    if isinstance(reply, list):
        return b"\n".join(flat(part) for part in reply)
    return reply if isinstance(reply, bytes) else str(reply).encode()


def field(reply: Reply) -> bytes:
    """Return a reply that must be bytes."""
    assert isinstance(reply, bytes), reply
    return reply


async def everything(cluster: Cluster) -> bytes:
    """Return every key with its whole value, and what the server tells of its clients and of slow commands."""
    keys = await do(cluster, "KEYS", "*")
    assert isinstance(keys, list)
    found = [flat(keys), flat(await do(cluster, "CLIENT", "LIST")), flat(await do(cluster, "SLOWLOG", "GET", 1000))]
    for key in keys:
        kind = field(await do(cluster, "TYPE", field(key)))
        if kind != b"none":  # it has expired meanwhile
            verb, rest = READ[kind]
            found.append(flat(await do(cluster, verb, field(key), *rest)))
    return b"\n".join(found)


@asynccontextmanager
async def overheard(cluster: Cluster) -> AsyncGenerator[bytearray]:
    """Hear every command that Redis is given during the block."""
    reader, writer = await asyncio.open_connection("127.0.0.1", store(cluster).port)
    heard = bytearray()

    async def listen() -> None:
        while data := await reader.read(65536):
            heard.extend(data)

    writer.write(f"AUTH {PASSWORD}\r\nMONITOR\r\n".encode())
    listening = asyncio.create_task(listen())
    try:
        async with asyncio.timeout(5):
            while heard.count(b"+OK") < 2:
                await asyncio.sleep(0.01)  # another process: there is nothing to wait on but its answer
        yield heard
    finally:
        listening.cancel()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def asked(user: Asker, at: int) -> tuple[dict[str, Any], str]:
    """Have a modern call ask its user something; return the request's parameters for the answer, and its state."""
    arguments = {"id": user.word()}
    told = await user.send(at, call("ask", arguments, token=user.token, id=1))
    result = json.loads(told.raw)["result"]
    (key,) = result["inputRequests"]
    answers = {key: {"action": "accept", "content": {"word": user.word()}}}
    return {"arguments": arguments, "inputResponses": answers}, result["requestState"]


async def answered(user: Asker, at: int, params: dict[str, Any], state: str) -> Told:
    """Answer at a replica what a call asked."""
    more = {"inputResponses": params["inputResponses"], "requestState": state}
    return await user.send(at, call("ask", params["arguments"], token=user.token, id=2, params=more))


async def test_whoever_reads_and_overhears_redis_learns_no_id_no_secret_and_no_word(ran: Ran, asking: Users) -> None:
    cluster, deployment = ran
    ann, eve = asking.ann, asking.eve
    secret = [deployment.jwt_secret, deployment.encryption_key, PASSWORD]
    async with overheard(cluster) as heard:
        sessions = await asking.open()
        params, state = await asked(ann, 0)
        keys = [ann.word() for _ in range(COUNT)]
        dumps: list[bytes] = []
        async with asyncio.TaskGroup() as group:
            for at in range(COUNT):
                arguments = {"id": ann.word(), "seconds": 1, "steps": 4}
                for tool in ("slow", "slow_read"):
                    aloud = ann.legacy_call(sessions["ann"][at], tool, arguments, is_aloud=True)
                    group.create_task(ann.send((at + 1) % COUNT, aloud, timeout_s=20))
                group.create_task(ann.modern(at, "effect", {"id": ann.word(), "seconds": 0.5}, key=keys[at]))
            dumps += [await everything(cluster) for _ in range(4)]
        assert (await answered(ann, 1, params, state)).status == 200
        for at in range(COUNT):
            assert (await ann.modern((at + 1) % COUNT, "effect", {"id": eve.word()}, key=keys[at])).status == 422
        dumps.append(await everything(cluster))
    texts = [*secret, state, ann.token, eve.token, ann.canary, eve.canary, "ann of ", "eve of ", *sessions["ann"]]
    for found in (bytes(heard), *dumps):
        assert len(found) > 1000
        shown = found.lower()
        seen = [text for text in texts if text.encode().lower() in shown or text.encode().hex().encode() in shown]
        seen += [text for text in secret if text != PASSWORD and bytes.fromhex(text) in found]
        assert seen == []


async def captured(cluster: Cluster, user: Asker, session: str, word: str) -> tuple[bytes, bytes]:
    """Return a letter that asks replica 0 to run a tool, and the box it lay in; it was read there afterwards."""
    (holder,) = [name for name in await holders(cluster) if name.startswith(b"replica-0.")]
    box = PREFIX.encode() + b"box:" + holder
    sending = asyncio.create_task(
        user.send(1, user.legacy_call(session, "effect", {"id": word}), timeout_s=20), name="relayed"
    )
    cluster.stop(0)
    try:
        async with asyncio.timeout(1):
            while not (letters := await do(cluster, "XRANGE", box, "-", "+")):
                await asyncio.sleep(0.005)  # other processes: there is nothing to wait on but what they write
    finally:
        cluster.cont(0)
    match letters:
        case [[_, [*_, bytes(letter)]], *_]:
            await sending
            return letter, box
        case _:
            raise AssertionError(f"no letter is in the box: {letters!r}")


async def holders(cluster: Cluster) -> Sequence[bytes]:
    """Return the names under which the replicas live."""
    begin = f"{PREFIX}lease:life/".encode()
    keys = await do(cluster, "KEYS", f"{PREFIX}lease:life/*")
    assert isinstance(keys, list)
    return sorted(field(key).removeprefix(begin) for key in keys)


async def put(cluster: Cluster, box: bytes, letter: bytes) -> None:
    await do(cluster, "XADD", box, "*", "until", "99999999999999", "letter", letter)


async def test_letters_that_are_replayed_moved_or_made_up_run_nothing(ran: Ran, asking: Users) -> None:
    cluster, _ = ran
    ann = asking.ann
    session, word = await ann.open(0), ann.word()
    letter, box = await captured(cluster, ann, session, word)
    assert cluster.effects.counts()[word] <= 1
    before = cluster.effects.counts()
    boxes = [PREFIX.encode() + b"box:" + name for name in await holders(cluster)]
    forged = Box(PURPOSE, [secrets.token_bytes(32)]).seal(letter, box.rpartition(b":")[2])
    for one in boxes:
        for made in (letter, letter[:-1], letter[::-1], forged, secrets.token_bytes(300), b""):
            await put(cluster, one, made)
    for one in boxes:
        async with asyncio.timeout(5):
            while await do(cluster, "XLEN", one):
                await asyncio.sleep(0.02)  # other processes: there is nothing to wait on but what they read
    await recovered(asking, {"ann": [session], "eve": []}, 4)
    assert all(count == before[id] for id, count in cluster.effects.counts().items() if id in before)
    assert cluster.effects.twice("effect") == []


async def never_mixed(cluster: Cluster, users: Users, sessions: dict[str, Sequence[str]]) -> None:
    """Have both users ask for all of theirs, everywhere: each gets their own or is refused; nothing runs twice."""

    async def one(user: Asker, at: int, session: str) -> None:
        word = user.word()
        told = await user.legacy(at, session, "effect", {"id": word})
        users.check(user, told)
        if told.status == 200 and told.text is not None:
            assert told.text == word

    await asyncio.gather(
        *(one(user, at, id) for user in (users.ann, users.eve) for id in sessions[user.name] for at in range(COUNT)),
        *(one(users.eve, at, id) for id in sessions["ann"] for at in range(COUNT)),
    )
    assert cluster.effects.twice("effect") == []


async def test_records_that_are_swapped_or_rolled_back_show_nobody_what_is_anothers(ran: Ran, asking: Users) -> None:
    cluster, _ = ran
    sessions = await asking.open()
    keys = {name: f"{PREFIX}session:{hashed(ids[0])}" for name, ids in sessions.items()}
    records = {name: field(await do(cluster, "HGET", key, "record")) for name, key in keys.items()}
    await do(cluster, "HSET", keys["ann"], "record", records["eve"])
    await do(cluster, "HSET", keys["eve"], "record", records["ann"])
    await never_mixed(cluster, asking, sessions)
    told = await asking.eve.legacy(1, sessions["eve"][0], "add", {"a": 1, "b": 1})
    assert told.status == 404
    for name, key in keys.items():
        await do(cluster, "HSET", key, "record", records[name])
    await do(cluster, "COPY", keys["ann"], keys["eve"], "REPLACE")
    await never_mixed(cluster, asking, sessions)


async def test_owners_and_epochs_that_are_made_up_run_nothing_twice_and_mix_up_nobody(ran: Ran, asking: Users) -> None:
    cluster, _ = ran
    sessions = await asking.open()
    names = await holders(cluster)
    await do(cluster, "HSET", f"{PREFIX}lease:life/nobody", "holder", "nobody", "token", "1")
    await do(cluster, "PEXPIRE", f"{PREFIX}lease:life/nobody", 1500)
    changes: list[tuple[str | bytes, ...]] = [
        ("owner", ""),
        ("owner", names[1]),
        ("owner", names[2]),
        ("owner", "gone"),
        ("epoch", "1"),
        ("epoch", "1000"),
        ("epoch", "-1"),
        ("epoch", "not a number"),
        ("owner", "", "epoch", "7"),
    ]
    for name in ("ann", "eve"):
        for change in changes:
            for id in sessions[name]:
                await do(cluster, "HSET", f"{PREFIX}session:{hashed(id)}", *change)
            await never_mixed(cluster, asking, sessions)
    for id in sessions["ann"]:
        await do(cluster, "HSET", f"{PREFIX}session:{hashed(id)}", "owner", "nobody", "epoch", "1")
    await never_mixed(cluster, asking, sessions)


async def test_outcomes_events_and_notes_that_are_copied_to_somebody_else_do_not_open(ran: Ran, asking: Users) -> None:
    cluster, _ = ran
    ann, eve = asking.ann, asking.eve
    entries: dict[str, bytes] = {}
    keys = {"ann": ann.word(), "eve": eve.word()}
    words = {"ann": ann.word(), "eve": eve.word()}
    for user in (ann, eve):
        before = await do(cluster, "KEYS", f"{PREFIX}ledger:*")
        assert (await user.modern(0, "effect", {"id": words[user.name]}, key=keys[user.name])).text == words[user.name]
        after = await do(cluster, "KEYS", f"{PREFIX}ledger:*")
        assert isinstance(before, list)
        assert isinstance(after, list)
        (entries[user.name],) = (field(key) for key in after if key not in before)
    for copied in (("outcome",), ("outcome", "token"), ("outcome", "token", "owner")):
        for name in copied:
            await do(cluster, "HSET", entries["eve"], name, field(await do(cluster, "HGET", entries["ann"], name)))
        for at in range(COUNT):
            told = await eve.modern(at, "effect", {"id": words["eve"]}, key=keys["eve"])
            asking.check(eve, told)
            assert told.text is None
    await copied_streams(cluster, asking)
    assert cluster.effects.twice("effect") == []


async def copied_streams(cluster: Cluster, users: Users) -> None:
    """Give eve's session what is ann's: events of a stream, and the note of a call that a new owner would repeat."""
    ann, eve = users.ann, users.eve
    mine, theirs = await eve.open(0), await ann.open(0)
    arguments: dict[str, Any] = {"id": ann.word(), "seconds": 1.5, "steps": 3}
    running = asyncio.create_task(
        ann.send(0, ann.legacy_call(theirs, "slow_read", arguments, is_aloud=True), timeout_s=20)
    )
    async with asyncio.timeout(5):
        while not await do(cluster, "EXISTS", f"{PREFIX}calls:{hashed(theirs)}"):
            await asyncio.sleep(0.02)  # another process: there is nothing to wait on but what it writes
    for kind in ("events", "calls"):
        await do(cluster, "COPY", f"{PREFIX}{kind}:{hashed(theirs)}", f"{PREFIX}{kind}:{hashed(mine)}", "REPLACE")
    await do(cluster, "HSET", f"{PREFIX}session:{hashed(mine)}", "owner", "")
    last = (await running).last_event
    assert last is not None
    assert (await eve.legacy(1, mine, "add", {"a": 1, "b": 1})).text == "2"
    for at in range(COUNT):
        users.check(eve, await eve.resume(at, mine, f"{last.rpartition('.')[0]}.1"))
    assert cluster.effects.counts()[arguments["id"]] == 1
