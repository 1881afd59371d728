"""API keys: their form, who gets in with one, and how seldom the records are asked."""

import asyncio
import re
import string
import zlib
from collections.abc import AsyncGenerator, Collection, Generator, Mapping, Sequence
from pathlib import Path
from typing import Final

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.auth import keys as limits
from portside.auth.key_text import PATTERN, digest, generate, id_of
from portside.auth.keys import Created, KeyBook, open_book
from portside.clock import ManualClock
from portside.errors import PortsideError, RecordsUnavailable
from portside.records import schema
from portside.records.base import KeyRecord, Keys
from portside.records.connect import Records, open_records
from tests.servers import Postgres, postgres

pytestmark = pytest.mark.anyio

LETTERS: Final = string.ascii_letters + string.digits


class Watched:
    """Keys in records, with what was asked of them, and a switch that cuts them off."""

    def __init__(self, records: Keys) -> None:
        self._records = records
        self.finds: list[int] = []
        self.touches: list[Mapping[str, float]] = []
        self.is_cut = False
        self.gate = anyio.Event()
        self.gate.set()

    def _check(self) -> None:
        if self.is_cut:
            raise RecordsUnavailable("records: cut off by the test")

    async def add(self, record: KeyRecord) -> None:
        self._check()
        await self._records.add(record)

    async def find(self, ids: Collection[str]) -> Mapping[str, KeyRecord]:
        self.finds.append(len(ids))
        self._check()
        found = await self._records.find(ids)
        await self.gate.wait()
        return found

    async def all(self) -> Sequence[KeyRecord]:
        return await self._records.all()

    async def revoke(self, id: str, at: float) -> bool:
        self._check()
        return await self._records.revoke(id, at)

    async def touch(self, uses: Mapping[str, float]) -> None:
        self.touches.append(uses)
        self._check()
        await self._records.touch(uses)


@pytest.fixture(scope="module")
def server() -> Generator[Postgres]:
    with postgres() as running:
        running.prepare(lambda url: asyncio.run(schema.upgrade(url)))
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The records are empty."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/portside.db"
    return request.getfixturevalue("server").emptied()


@pytest.fixture
async def records(url: str) -> AsyncGenerator[Records]:
    async with open_records(url, deadline_s=10) as opened:
        yield opened


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def watched(records: Records) -> Watched:
    return Watched(records.keys)


@pytest.fixture
async def book(watched: Watched, clock: ManualClock) -> AsyncGenerator[KeyBook]:
    async with open_book(watched, clock) as opened:
        yield opened


async def made(book: KeyBook, *, expires: float | None = None) -> Created:
    return await book.create(name="laptop", principal="user:ann", scopes=["b", "a", "b"], expires=expires)


def text_of(created: Created) -> str:
    return created.text.reveal().decode()


# -- the form -------------------------------------------------------------------------------------


async def test_a_key_has_the_form_that_scanners_look_for() -> None:
    id, key = generate()
    assert re.fullmatch(PATTERN, key)
    assert re.findall(PATTERN, f'{{"authorization": "Bearer {key}"}}') == [key]
    assert key.startswith(f"psk_{id}_")
    assert id_of(key) == id


async def test_no_two_keys_are_alike() -> None:
    made = [generate() for _ in range(1000)]
    assert len({id for id, _ in made}) == len({key for _, key in made}) == 1000


@given(place=st.integers(0, 61), letter=st.sampled_from(LETTERS + "_- é\n\x00"))
async def test_any_one_wrong_letter_is_seen(place: int, letter: str) -> None:
    _, key = generate()
    mistyped = key[:place] + letter + key[place + 1 :]
    assert (id_of(mistyped) is None) == (mistyped != key)


@given(place=st.integers(0, 54))
async def test_two_neighbours_that_change_places_are_seen(place: int) -> None:
    _, key = generate()
    swapped = key[:place] + key[place + 1] + key[place] + key[place + 2 :]
    assert (id_of(swapped) is None) == (swapped != key)


@given(cut=st.integers(0, 61), more=st.text(min_size=1, max_size=3))
async def test_nothing_may_be_missing_or_added(cut: int, more: str) -> None:
    _, key = generate()
    assert id_of(key[:cut]) is None
    assert id_of(key + more) is None
    assert id_of(more + key) is None


@given(text=st.text() | st.from_regex(PATTERN, fullmatch=True))
async def test_any_text_has_a_digest_or_is_no_key(text: str) -> None:
    id = id_of(text)
    assert id is None or text.startswith(f"psk_{id}_")


# -- who gets in ----------------------------------------------------------------------------------


async def test_a_key_lets_its_owner_in_as_it_was_made(book: KeyBook, clock: ManualClock) -> None:
    created = await made(book, expires=clock.now() + 60)
    verified = await book.verify(text_of(created))
    assert verified is not None
    assert (verified.id, verified.name, verified.principal) == (created.record.id, "laptop", "user:ann")
    assert (verified.scopes, verified.expires) == ({"a", "b"}, clock.now() + 60)


async def test_only_a_digest_is_kept(book: KeyBook, watched: Watched) -> None:
    created = await made(book)
    assert [record.digest for record in await watched.all()] == [digest(text_of(created))]
    secret = text_of(created).rpartition("_")[2]
    assert secret not in repr(created)
    assert secret not in repr(await watched.all())


async def test_the_right_id_with_another_secret_is_nobody(book: KeyBook) -> None:
    created = await made(book)
    body = text_of(created)[:13] + generate()[1][13:56]
    forged = body + _checksum_of(body)
    assert id_of(forged) == created.record.id
    assert await book.verify(forged) is None
    assert await book.verify(text_of(created)) is not None


async def test_a_key_that_was_never_made_is_nobody(book: KeyBook) -> None:
    assert await book.verify(generate()[1]) is None


async def test_a_key_ends_when_it_expires_also_from_memory(book: KeyBook, clock: ManualClock) -> None:
    created = await made(book, expires=clock.now() + 10)
    assert await book.verify(text_of(created)) is not None
    clock.advance(9.9)
    assert await book.verify(text_of(created)) is not None
    clock.advance(0.1)
    assert await book.verify(text_of(created)) is None


async def test_a_revoked_key_is_refused_at_once_where_it_was_revoked(book: KeyBook, clock: ManualClock) -> None:
    created = await made(book)
    assert await book.verify(text_of(created)) is not None
    assert await book.revoke(created.record.id)
    assert await book.verify(text_of(created)) is None
    clock.advance(1000)
    assert await book.verify(text_of(created)) is None


async def test_a_key_revoked_elsewhere_is_refused_within_thirty_seconds(
    book: KeyBook, records: Records, clock: ManualClock
) -> None:
    created = await made(book)
    assert await book.verify(text_of(created)) is not None
    async with open_book(records.keys, clock) as elsewhere:
        await elsewhere.revoke(created.record.id)
    clock.advance(30)
    assert await book.verify(text_of(created)) is None


async def test_a_key_revoked_while_it_is_looked_up_is_refused(book: KeyBook, watched: Watched) -> None:
    created = await made(book)
    watched.gate = anyio.Event()
    found: list[object] = []

    async def verify() -> None:
        found.append(await book.verify(text_of(created)))

    async with anyio.create_task_group() as group:
        group.start_soon(verify)
        while not watched.finds:
            await anyio.lowlevel.checkpoint()
        await book.revoke(created.record.id)
        watched.gate.set()
    assert found == [None]
    assert await book.verify(text_of(created)) is None


async def test_a_revocation_that_fails_is_respected_where_it_was_asked_for(book: KeyBook, watched: Watched) -> None:
    created = await made(book)
    watched.is_cut = True
    with pytest.raises(RecordsUnavailable):
        await book.revoke(created.record.id)
    watched.is_cut = False
    assert await book.verify(text_of(created)) is None


async def test_what_does_not_exist_cannot_be_revoked(book: KeyBook) -> None:
    assert not await book.revoke("unknown0")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"name": ""}, "name ''"),
        ({"name": "a\nb"}, "printable"),
        ({"name": "x" * 256}, "1 to 255"),
        ({"principal": " "}, "principal"),
        ({"scopes": ["two words"]}, "scope 'two words'"),
        ({"scopes": [""]}, "scope ''"),
        ({"scopes": ['"']}, "scope"),
        ({"expires": 1.0}, "after now"),
        ({"expires": float("nan")}, "after now"),
        ({"expires": float("inf")}, "after now"),
    ],
)
async def test_a_key_that_makes_no_sense_is_not_made(book: KeyBook, arguments: dict[str, object], told: str) -> None:
    given: dict[str, object] = {"name": "laptop", "principal": "user:ann"}
    with pytest.raises(PortsideError, match=told):
        await book.create(**(given | arguments))  # pyright: ignore[reportArgumentType]
    assert list(await book.all()) == []


# -- how seldom the records are asked -------------------------------------------------------------


async def test_a_known_key_is_looked_up_once_and_again_when_it_is_no_longer_fresh(
    book: KeyBook, watched: Watched, clock: ManualClock
) -> None:
    created = await made(book)
    for _ in range(100):
        assert await book.verify(text_of(created)) is not None
    assert watched.finds == [1]
    clock.advance(limits.FRESH_S)
    assert await book.verify(text_of(created)) is not None
    assert watched.finds == [1, 1]


async def test_what_is_no_key_costs_no_look_up(book: KeyBook, watched: Watched) -> None:
    _, key = generate()
    for text in ("", "psk_", key[:-1], key[:-1] + ("a" if key[-1] != "a" else "b"), key.upper(), f" {key}", "é" * 62):
        assert await book.verify(text) is None
    assert watched.finds == []


async def test_many_who_come_with_one_key_at_once_ask_once(book: KeyBook, watched: Watched) -> None:
    created = await made(book)
    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(book.verify, text_of(created))
    assert watched.finds == [1]


async def test_a_flood_of_invented_keys_costs_a_few_queries_and_holds_up_nobody(
    book: KeyBook, watched: Watched
) -> None:
    created = await made(book)
    found: list[object] = []

    async def verify() -> None:
        found.append(await book.verify(text_of(created)))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for n in range(5_000):
                group.start_soon(book.verify, generate()[1])
                if n == 2_500:
                    group.start_soon(verify)
    assert None not in found
    assert sum(watched.finds) == 5_001
    assert len(watched.finds) <= 5_001 // limits.BATCH + 2


async def test_an_invented_key_that_is_tried_again_costs_nothing(
    book: KeyBook, watched: Watched, clock: ManualClock
) -> None:
    _, key = generate()
    for _ in range(100):
        assert await book.verify(key) is None
    assert watched.finds == [1]
    clock.advance(limits.UNKNOWN_S)
    assert await book.verify(key) is None
    assert watched.finds == [1, 1]


async def test_too_many_inventions_at_once_are_told_that_nobody_can_tell(
    book: KeyBook, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MOST_WAITING", 10)
    created = await made(book)
    assert await book.verify(text_of(created)) is not None
    watched.gate = anyio.Event()
    refused = 0

    async def verify() -> None:
        nonlocal refused
        try:
            await book.verify(generate()[1])
        except RecordsUnavailable:
            refused += 1

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for _ in range(30):
                group.start_soon(verify)
            while refused < 20:
                await anyio.lowlevel.checkpoint()
            assert await book.verify(text_of(created)) is not None
            watched.gate.set()
    assert refused == 20


async def test_what_is_remembered_is_bounded(book: KeyBook, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_KEPT", 3)
    keys = [text_of(await made(book)) for _ in range(4)]
    for key in (*keys, keys[3], keys[0]):
        assert await book.verify(key) is not None
    assert watched.finds == [1] * 5


async def test_a_caller_who_leaves_does_not_spoil_it_for_others(book: KeyBook, watched: Watched) -> None:
    created = await made(book)
    watched.gate = anyio.Event()
    found: list[object] = []

    async def verify() -> None:
        found.append(await book.verify(text_of(created)))

    async with anyio.create_task_group() as group:
        async with anyio.create_task_group() as leaving:
            leaving.start_soon(book.verify, text_of(created))
            group.start_soon(verify)
            while not watched.finds:
                await anyio.lowlevel.checkpoint()
            leaving.cancel_scope.cancel()
        watched.gate.set()
    assert None not in found
    assert watched.finds == [1]


async def test_without_records_known_keys_stay_good_for_a_while_and_nobody_else_gets_in(
    book: KeyBook, watched: Watched, clock: ManualClock
) -> None:
    known, unknown = await made(book), await made(book)
    assert await book.verify(text_of(known)) is not None
    watched.is_cut = True
    assert await book.verify(text_of(known)) is not None
    with pytest.raises(RecordsUnavailable):
        await book.verify(text_of(unknown))
    clock.advance(limits.FRESH_S)
    with pytest.raises(RecordsUnavailable):
        await book.verify(text_of(known))
    watched.is_cut = False
    assert await book.verify(text_of(known)) is not None
    assert await book.verify(text_of(unknown)) is not None


# -- last use -------------------------------------------------------------------------------------


async def test_the_last_use_is_written_at_most_once_a_minute(
    watched: Watched, records: Records, clock: ManualClock
) -> None:
    async with open_book(watched, clock) as book:
        created = await made(book)
        first = clock.now()
        for _ in range(60):
            assert await book.verify(text_of(created)) is not None
            clock.advance(0.99)
        while not watched.touches:
            await anyio.lowlevel.checkpoint()
        assert watched.touches == [{created.record.id: first}]
        clock.advance(1)
        await book.verify(text_of(created))
        second = clock.now()
    assert watched.touches == [{created.record.id: first}, {created.record.id: second}]
    assert [record.last_used for record in await records.keys.all()] == [second]


async def test_a_wrong_secret_is_no_use(watched: Watched, clock: ManualClock) -> None:
    async with open_book(watched, clock) as book:
        body = text_of(await made(book))[:13] + "0" * 43
        assert await book.verify(body + _checksum_of(body)) is None
    assert watched.touches == []


async def test_a_use_that_cannot_be_written_is_nobodys_problem(watched: Watched, clock: ManualClock) -> None:
    async with open_book(watched, clock) as book:
        created = await made(book)
        await watched.find([created.record.id])
        assert await book.verify(text_of(created)) is not None
        watched.is_cut = True
    assert len(watched.touches) == 1


def _checksum_of(body: str) -> str:
    """Return the checksum as an attacker would compute it; it is no secret."""
    number, letters = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, rest = divmod(number, 62)
        letters = (string.digits + string.ascii_uppercase + string.ascii_lowercase)[rest] + letters
    return letters
