"""API keys: made, told apart and revoked; kept as digests, and looked up as seldom as possible."""

import asyncio
import hmac
import re
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog

from portside.auth.key_text import digest, generate, id_of
from portside.clock import Clock
from portside.errors import PortsideError, RecordsUnavailable
from portside.records.base import KeyRecord, Keys
from portside.secret import Secret

FRESH_S: Final = 25.0
"""How long a key that was found is believed; other replicas hear of a revocation by then."""

UNKNOWN_S: Final = 5.0
"""How long an id that was not found is not asked for again."""

MOST_KEPT: Final = 10_000
"""Most known keys, and most unknown ids, that are remembered; the oldest go first."""

MOST_WAITING: Final = 10_000
"""Most ids that wait to be looked up; then nobody can be told who they are until it is fewer."""

BATCH: Final = 500
"""Most ids in one query."""

USE_EVERY_S: Final = 60.0
"""How often the last use of one key is written."""

# RFC 6749 §3.3; a label is what fits on a line of a table.
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,255}")
_MOST_LETTERS: Final = 255

_T = TypeVar("_T")
_log: structlog.stdlib.BoundLogger = structlog.get_logger("portside.keys")


@dataclass(frozen=True, slots=True)
class Verified:
    """A key that is good now. `id` may be shown; `expires` is in seconds since the epoch, None for never."""

    id: str
    name: str
    principal: str
    scopes: frozenset[str]
    expires: float | None


@dataclass(frozen=True, slots=True)
class Created:
    """A new key: `text` is shown to its owner now and never again."""

    text: Secret
    record: KeyRecord


class KeyBook:
    """Tells whose key a text is, from memory where it can: `open_book` opens one.

    Nothing here waits for a write. Many at once ask the records in one query, so that a flood of well-formed inventions
    costs one query at a time, and no more than `MOST_WAITING` entries of memory.
    """

    def __init__(self, records: Keys, clock: Clock) -> None:
        self._records = records
        self._clock = clock
        self._lookups = _Lookups(records, clock)
        self._uses = _Uses(records, clock)
        self._known: dict[str, tuple[float, KeyRecord, Verified]] = {}
        self._unknown: dict[str, float] = {}
        self._revoked: set[str] = set()

    async def verify(self, text: str) -> Verified | None:
        """Return whose key this is, None where it is nobody's, expired or revoked.

        A revocation counts at once here, within FRESH_S elsewhere. Raises RecordsUnavailable where it cannot be told
        now; then nobody gets in.
        """
        id = id_of(text)
        if id is None:
            return None
        kept = self._known.get(id)
        if kept is None or kept[0] <= self._clock.monotonic():
            kept = await self._look_up(id)
        if kept is None or id in self._revoked:
            return None
        _, record, verified = kept
        is_good = record.revoked is None and (record.expires is None or self._clock.now() < record.expires)
        if not hmac.compare_digest(digest(text), record.digest) or not is_good:
            return None
        self._uses.note(id)
        return verified

    async def create(
        self, *, name: str, principal: str, scopes: Collection[str] = (), expires: float | None = None
    ) -> Created:
        """Store a new key and return it. `expires` is in seconds since the epoch.

        Raises PortsideError where an argument is wrong, RecordsUnavailable; the key is not to be used then.
        """
        now = self._clock.now()
        _check(name, principal, scopes, expires, now)
        id, text = generate()
        record = KeyRecord(id, digest(text), name, principal, tuple(sorted(set(scopes))), now, expires)
        await self._records.add(record)
        self._unknown.pop(id, None)
        return Created(Secret(text.encode()), record)

    async def revoke(self, id: str) -> bool:
        """Make a key worthless for good; False where there is none with this id. Raises RecordsUnavailable.

        Here it is refused from the call on, even where that fails.
        """
        self._revoked.add(id)
        return await self._records.revoke(id, self._clock.now())

    async def all(self) -> Sequence[KeyRecord]:
        """Return every key, oldest first. Raises RecordsUnavailable."""
        return await self._records.all()

    async def close(self) -> None:
        """Write what has not been written of last uses. May be called twice."""
        await self._lookups.close()
        await self._uses.close()

    async def _look_up(self, id: str) -> tuple[float, KeyRecord, Verified] | None:
        if self._unknown.get(id, 0.0) > self._clock.monotonic():
            return None
        asked_at, record = await self._lookups.find(id)
        if record is None:
            self._known.pop(id, None)
            _keep(self._unknown, id, asked_at + UNKNOWN_S)
            return None
        verified = Verified(id, record.name, record.principal, frozenset(record.scopes), record.expires)
        kept = (asked_at + FRESH_S, record, verified)
        _keep(self._known, id, kept)
        return kept


class _Lookups:
    """Asks for ids, many in one query and one query at a time."""

    def __init__(self, records: Keys, clock: Clock) -> None:
        self._records = records
        self._clock = clock
        self._waiting: dict[str, asyncio.Future[tuple[float, KeyRecord | None]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def find(self, id: str) -> tuple[float, KeyRecord | None]:
        """Return the key, and when (monotonic) it was certainly so."""
        future = self._waiting.get(id)
        if future is None:
            if len(self._waiting) >= MOST_WAITING:
                raise RecordsUnavailable(f"API keys: {MOST_WAITING} unknown ids wait to be looked up already")
            future = self._waiting[id] = asyncio.get_running_loop().create_future()
            future.add_done_callback(_retrieved)
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._work(), name="key-lookups")
        return await asyncio.shield(future)  # others wait for it too

    async def close(self) -> None:
        if self._task is not None:
            await asyncio.wait((self._task,))

    async def _work(self) -> None:
        while self._waiting:
            # Who comes after this moment must not get an answer from before it, and waits for the next query.
            batch = {id: self._waiting.pop(id) for id in list(self._waiting)[:BATCH]}
            asked_at = self._clock.monotonic()
            try:
                found = await self._records.find(batch.keys())
            except Exception as error:
                for future in batch.values():
                    future.set_exception(error)  # whoever asked handles it
            else:
                for id, future in batch.items():
                    future.set_result((asked_at, found.get(id)))


class _Uses:
    """Writes when keys were last used: seldom, all together, and with nobody waiting."""

    def __init__(self, records: Keys, clock: Clock) -> None:
        self._records = records
        self._clock = clock
        self._next: dict[str, float] = {}
        self._unwritten: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None

    def note(self, id: str) -> None:
        """Have it written that a key is used now, unless that was done within the last minute."""
        moment = self._clock.monotonic()
        if self._next.get(id, moment) > moment:
            return
        _keep(self._next, id, moment + USE_EVERY_S)
        self._unwritten[id] = self._clock.now()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name="key-uses")

    async def close(self) -> None:
        if self._task is not None:
            await asyncio.wait((self._task,))

    async def _work(self) -> None:
        while self._unwritten:
            uses, self._unwritten = self._unwritten, {}
            try:
                await self._records.touch(uses)
            except RecordsUnavailable as error:
                # Worth no retry: the next use is written in a minute.
                _log.warning("keys.uses_not_written", keys=len(uses), error=error.message)


@asynccontextmanager
async def open_book(records: Keys, clock: Clock) -> AsyncGenerator[KeyBook]:
    """Open the keys for the block; `records` must stay open until it has ended."""
    book = KeyBook(records, clock)
    try:
        yield book
    finally:
        await book.close()


def _keep(kept: dict[str, _T], id: str, value: _T) -> None:
    """Put a value last, and drop the first ones of too many."""
    kept.pop(id, None)
    kept[id] = value
    while len(kept) > MOST_KEPT:
        del kept[next(iter(kept))]


def _retrieved(future: asyncio.Future[tuple[float, KeyRecord | None]]) -> None:
    """Look at a result nobody may be waiting for any more, so that a failure is not reported as forgotten."""
    if not future.cancelled():
        future.exception()


def _check(name: str, principal: str, scopes: Collection[str], expires: float | None, now: float) -> None:
    for what, text in (("name", name), ("principal", principal)):
        if not text.strip() or not text.isprintable() or len(text) > _MOST_LETTERS:
            raise PortsideError(
                f"API key {what} {text[:_MOST_LETTERS]!r}: expected 1 to {_MOST_LETTERS} printable letters"
            )
    for scope in scopes:
        if _SCOPE.fullmatch(scope) is None:
            raise PortsideError(
                f"API key scope {scope[:_MOST_LETTERS]!r}: expected ASCII without spaces, quotes and backslashes"
            )
    if expires is not None and not now < expires < float("inf"):
        raise PortsideError(f"API key expires {expires!r}: expected a time after now ({now:.0f})")
