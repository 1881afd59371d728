"""What the durable records promise, on SQLite, on PostgreSQL, and on PostgreSQL behind PgBouncer."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from anyio.to_thread import run_sync

from portside.errors import RecordsUnavailable
from portside.records import schema
from portside.records.base import AuditRow, Conflict, KeyRecord
from portside.records.connect import Records, open_records
from tests import servers
from tests.servers import Postgres, pgbouncer, postgres

pytestmark = pytest.mark.anyio

KEY = KeyRecord("aB3dE6gH", "d1" * 32, "laptop", "user:ann", ("tools:call", "tools:list"), 1_000.5)


@pytest.fixture(scope="module")
def server() -> Generator[Postgres]:
    with postgres() as running:
        running.prepare(lambda url: asyncio.run(schema.upgrade(url)))
        yield running


@pytest.fixture(scope="module")
def bouncer(server: Postgres) -> Generator[int]:
    with pgbouncer(server) as port:
        yield port


@pytest.fixture(params=["sqlite", "postgresql", "pgbouncer"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/records/portside.db"
    running: Postgres = request.getfixturevalue("server")
    made = running.emptied()
    if request.param == "postgresql":
        return made
    return running.url(made.rpartition("/")[2], port=request.getfixturevalue("bouncer"))


@pytest.fixture
async def records(url: str) -> AsyncGenerator[Records]:
    async with open_records(url, deadline_s=10) as opened:
        yield opened


def row(sequence: int, *, writer: str = "one", **changes: str | None) -> AuditRow:
    whole = AuditRow(writer, sequence, 1_700_000_000.25 + sequence, f'{{"n":{sequence},"é":"\\u0000"}}', f"h{sequence}")
    return replace(whole, **changes)


async def rows_of(records: Records, writer: str = "one", first: int = 0) -> list[AuditRow]:
    return [found async for found in records.audit.read(writer, first)]


# -- keys -----------------------------------------------------------------------------------------


async def test_a_key_comes_back_as_it_was_stored(records: Records) -> None:
    full = replace(KEY, id="zzzzzzzz", scopes=(), expires=2_000.25, revoked=1_500.5, last_used=1_400.125)
    await records.keys.add(KEY)
    await records.keys.add(full)
    assert await records.keys.find([KEY.id, full.id, "unknown0"]) == {KEY.id: KEY, full.id: full}


async def test_asking_for_nothing_finds_nothing(records: Records) -> None:
    await records.keys.add(KEY)
    assert await records.keys.find([]) == {}


async def test_ids_differ_by_case(records: Records) -> None:
    await records.keys.add(KEY)
    assert await records.keys.find([KEY.id.lower(), KEY.id.upper()]) == {}


async def test_keys_are_listed_oldest_first(records: Records) -> None:
    older = replace(KEY, id="zzzzzzzz", created=1.0)
    await records.keys.add(KEY)
    await records.keys.add(older)
    assert list(await records.keys.all()) == [older, KEY]


async def test_adding_the_same_key_again_is_no_error_and_no_second_key(records: Records) -> None:
    await records.keys.add(KEY)
    await records.keys.add(KEY)
    assert list(await records.keys.all()) == [KEY]


async def test_another_key_of_the_same_id_is_refused(records: Records) -> None:
    await records.keys.add(KEY)
    with pytest.raises(Conflict, match=KEY.id):
        await records.keys.add(replace(KEY, digest="e2" * 32))
    assert list(await records.keys.all()) == [KEY]


async def test_a_revocation_keeps_its_first_time(records: Records) -> None:
    await records.keys.add(KEY)
    assert await records.keys.revoke(KEY.id, 1_100.0)
    assert await records.keys.revoke(KEY.id, 1_200.0)
    assert await records.keys.find([KEY.id]) == {KEY.id: replace(KEY, revoked=1_100.0)}


async def test_what_does_not_exist_cannot_be_revoked(records: Records) -> None:
    await records.keys.add(KEY)
    assert not await records.keys.revoke("unknown0", 1_100.0)
    assert list(await records.keys.all()) == [KEY]


async def test_the_last_use_only_moves_forward(records: Records) -> None:
    other = replace(KEY, id="zzzzzzzz", created=2_000.0)
    await records.keys.add(KEY)
    await records.keys.add(other)
    await records.keys.touch({KEY.id: 1_100.0, other.id: 2_100.0, "unknown0": 5.0})
    await records.keys.touch({KEY.id: 1_050.0, other.id: 2_200.0})
    await records.keys.touch({})
    assert [key.last_used for key in await records.keys.all()] == [1_100.0, 2_200.0]


async def test_touching_from_many_sides_at_once_settles_on_the_latest(records: Records) -> None:
    ids = [f"key{n:05}" for n in range(20)]
    for id in ids:
        await records.keys.add(replace(KEY, id=id))
    async with anyio.create_task_group() as group:
        for at in range(2_000, 2_010):
            group.start_soon(records.keys.touch, dict.fromkeys(ids if at % 2 else reversed(ids), float(at)))
    assert {key.last_used for key in await records.keys.all()} == {2_009.0}


# -- audit ----------------------------------------------------------------------------------------


async def test_rows_come_back_as_they_were_stored_in_order(records: Records) -> None:
    stored = [row(1), row(2, checkpoint="key:sig"), row(3), row(4)]
    await records.audit.append([stored[2], stored[0]])
    await records.audit.append([stored[3], stored[1]])
    assert await rows_of(records) == stored
    assert await rows_of(records, first=3) == stored[2:]
    assert await rows_of(records, first=5) == []


async def test_sequences_may_be_large(records: Records) -> None:
    await records.audit.append([row(2**62)])
    assert await rows_of(records) == [row(2**62)]


async def test_every_row_is_read_across_pages(records: Records) -> None:
    await records.audit.append([row(n) for n in range(2_000)])
    assert [found.sequence for found in await rows_of(records)] == list(range(2_000))


async def test_writers_are_read_apart(records: Records) -> None:
    await records.audit.append([row(1), row(1, writer="two"), row(2, writer="two")])
    assert await rows_of(records, "two") == [row(1, writer="two"), row(2, writer="two")]
    assert await rows_of(records, "three") == []


async def test_the_last_row_of_every_writer_is_found(records: Records) -> None:
    assert list(await records.audit.last()) == []
    writers = ["", "a", "A", "b", "é", "z" * 200]
    await records.audit.append([row(n, writer=writer) for writer in writers for n in (1, 10, 9)])
    assert {(found.writer, found.sequence) for found in await records.audit.last()} == {(w, 10) for w in writers}


async def test_appending_nothing_is_nothing(records: Records) -> None:
    await records.audit.append([])
    assert list(await records.audit.last()) == []


async def test_an_append_may_be_repeated_also_with_more(records: Records) -> None:
    await records.audit.append([row(1), row(2)])
    await records.audit.append([row(1), row(2)])
    await records.audit.append([row(2), row(3), row(4)])
    assert await rows_of(records) == [row(1), row(2), row(3), row(4)]


@pytest.mark.parametrize("changes", [{"entry": "{}"}, {"hash": "other"}, {"checkpoint": "key:sig"}])
async def test_another_row_in_the_same_place_is_refused_with_all_that_come_along(
    records: Records, changes: dict[str, str]
) -> None:
    await records.audit.append([row(1), row(2)])
    with pytest.raises(Conflict, match=r"'one'.* sequence 2"):
        await records.audit.append([row(3), row(2, **changes), row(4)])
    assert await rows_of(records) == [row(1), row(2)]


async def test_rows_that_contradict_each_other_are_all_refused(records: Records) -> None:
    with pytest.raises(Conflict):
        await records.audit.append([row(1), row(2), row(2, hash="other")])
    assert await rows_of(records) == []


async def test_many_append_at_once_and_nothing_is_lost(records: Records) -> None:
    async def write(writer: str) -> None:
        for start in range(0, 100, 10):
            await records.audit.append([row(n, writer=writer) for n in range(start, start + 10)])

    writers = [f"w{n}" for n in range(8)]
    async with anyio.create_task_group() as group:
        for writer in writers:
            group.start_soon(write, writer)
    for writer in writers:
        assert [found.sequence for found in await rows_of(records, writer)] == list(range(100))


async def test_pruning_leaves_the_anchor_and_what_follows(records: Records) -> None:
    await records.audit.append([row(n) for n in range(1, 9)] + [row(n, writer="two") for n in range(1, 9)])
    anchor = row(5, entry="{}", hash="anchor", checkpoint="key:sig")
    await records.audit.prune(anchor)
    await records.audit.prune(anchor)
    assert await rows_of(records) == [anchor, row(6), row(7), row(8)]
    assert len(await rows_of(records, "two")) == 8


# -- both -----------------------------------------------------------------------------------------


async def test_what_was_stored_is_there_after_opening_again(url: str) -> None:
    async with open_records(url) as records:
        await records.keys.add(KEY)
        await records.audit.append([row(1)])
    async with open_records(url) as records:
        assert list(await records.keys.all()) == [KEY]
        assert await rows_of(records) == [row(1)]


async def test_a_ping_is_answered_while_open_and_refused_after(url: str) -> None:
    async with open_records(url) as records:
        await records.ping()
    with pytest.raises(RecordsUnavailable, match="closed"):
        await records.ping()


@pytest.mark.parametrize("url", ["pgbouncer"], indirect=True)
async def test_statements_leave_nothing_behind_on_a_shared_backend(url: str, records: Records) -> None:
    for n in range(10):
        await records.audit.append([row(n)])
        await records.keys.find([KEY.id])
    assert await run_sync(servers.execute, url, "SELECT name FROM pg_prepared_statements WHERE name <> ''") == []


async def test_the_password_is_shown_nowhere(url: str) -> None:
    async with open_records(url) as records:
        assert "s3cret" not in repr(records)
