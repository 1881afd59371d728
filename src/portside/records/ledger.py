"""The ledger of calls in SQL, for outcomes that must outlive Redis."""

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import Update, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from portside.clock import Clock
from portside.errors import RecordsUnavailable
from portside.records.database import Database
from portside.records.tables import ledger
from portside.seal import Box

PURPOSE: Final = "ledger"
SWEEP_S: Final = 600.0
SWEEP_ROWS: Final = 1000
"""How often expired rows are deleted, and how many at once; a free row in the way of nobody may stay meanwhile."""

_TRIES: Final = 10
_READ = select(ledger.c.digest, ledger.c.owner, ledger.c.token, ledger.c.expires, ledger.c.outcome)
_MINE = (ledger.c.key == bindparam("k"), ledger.c.token == bindparam("t"))
_LIVE = ledger.c.expires > bindparam("now")
_CLAIM = (
    update(ledger)
    .where(*_MINE)
    .values(
        digest=bindparam("digest"),
        owner=bindparam("owner"),
        token=bindparam("fresh"),
        expires=bindparam("until"),
        outcome=None,
    )
)
_FINISH = update(ledger).where(*_MINE, _LIVE).values(outcome=bindparam("outcome"), expires=bindparam("until"))
_FORGET = update(ledger).where(*_MINE, _LIVE, ledger.c.outcome.is_(None)).values(expires=0)
_EXPIRED = select(ledger.c.key).where(~_LIVE).limit(SWEEP_ROWS)
_SWEEP = delete(ledger).where(~_LIVE, ledger.c.key.in_(_EXPIRED))

_log = logging.getLogger("portside.records")


@dataclass(frozen=True, slots=True)
class Found:
    """What became of a key: the members mean what those of `state.base.Entry` mean."""

    status: Literal["new", "running", "done", "conflict"]
    token: int = 0
    owner: str = ""
    outcome: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    digest: str
    owner: str
    token: int
    expires: int
    outcome: bytes | None


class SqlLedger:
    """The verbs of `state.base.Ledger` on a table. Every method may raise RecordsUnavailable.

    Outcomes are sealed by `box`, and read by it.

    An outcome that does not open is a call that ended, and nobody can say how: its entry is `done` without an outcome.
    Times are of this machine's clock; those of several need not agree better than `ttl_ms` matters.
    """

    def __init__(self, database: Database, clock: Clock, box: Box | None = None) -> None:
        self._database = database
        self._clock = clock
        self._box = box
        self._swept = clock.monotonic()

    async def begin(self, key: str, digest: str, owner: str, *, ttl_ms: int) -> Found:
        """Claim the key, or say what became of the call that has it."""
        return await self._claim(key, digest, owner, ttl_ms, None)

    async def retake(self, key: str, digest: str, owner: str, *, token: int, ttl_ms: int) -> Found:
        """Claim a key whose runner, holding `token`, was lost."""
        return await self._claim(key, digest, owner, ttl_ms, token)

    async def finish(self, key: str, outcome: bytes, *, token: int, ttl_ms: int) -> bool:
        """Store how the call ended; False where `token` holds the key no more."""
        now = self._now_ms()
        sealed = outcome if self._box is None else self._box.seal(outcome, key.encode())
        return await self._changed(
            _FINISH, {"k": key, "t": token, "now": now, "outcome": sealed, "until": now + ttl_ms}
        )

    async def forget(self, key: str, *, token: int) -> bool:
        """Free the key of a call that did not run; False as in `finish`."""
        return await self._changed(_FORGET, {"k": key, "t": token, "now": self._now_ms()})

    async def sweep(self) -> int:
        """Delete rows that have expired, at most SWEEP_ROWS, and return how many."""
        now = self._now_ms()

        async def work(connection: AsyncConnection) -> int:
            return (await connection.execute(_SWEEP, {"now": now})).rowcount

        swept = await self._database.run(work, writes=True)
        # A full hand says that there is more.
        self._swept = self._clock.monotonic() if swept < SWEEP_ROWS else float("-inf")
        return swept

    async def _claim(self, key: str, digest: str, owner: str, ttl_ms: int, lost: int | None) -> Found:
        """Claim a key that is free, or whose runner holds the token `lost`."""
        if self._clock.monotonic() - self._swept >= SWEEP_S:
            await self.sweep()
        now = self._now_ms()
        # Higher than any before, also of a row that was swept meanwhile, and nobody else's.
        token = (now << 20) + secrets.randbits(20)
        fresh = {"key": key, "digest": digest, "owner": owner, "token": token, "expires": now + ttl_ms}
        insert = (sqlite.insert if self._database.is_sqlite else postgresql.insert)(ledger).on_conflict_do_nothing()

        async def work(connection: AsyncConnection) -> Found:
            for _ in range(_TRIES):
                if (await connection.execute(insert, fresh)).rowcount == 1:
                    return Found("new", token, owner)
                found = (await connection.execute(_READ.where(ledger.c.key == key))).one_or_none()
                if found is None:
                    continue  # swept this moment
                row = _Row(*found)
                is_lost = row.outcome is None and row.digest == digest and row.token == lost
                if row.expires > now and not is_lost:
                    return self._entry(row, key, digest)
                taken = max(token, row.token + 1)
                values = {"k": key, "t": row.token, "fresh": taken, "digest": digest, "owner": owner}
                if (await connection.execute(_CLAIM, {**values, "until": now + ttl_ms})).rowcount == 1:
                    return Found("new", taken, owner)
            raise RecordsUnavailable(f"the ledger's row changed {_TRIES} times while it was claimed")

        return await self._database.run(work, writes=True)

    async def _changed(self, statement: Update, values: Mapping[str, object]) -> bool:
        async def work(connection: AsyncConnection) -> bool:
            return (await connection.execute(statement, values)).rowcount == 1

        return await self._database.run(work, writes=True)

    def _entry(self, row: _Row, key: str, digest: str) -> Found:
        if row.digest != digest:
            return Found("conflict")
        if row.outcome is None:
            return Found("running", row.token, row.owner)
        outcome = row.outcome if self._box is None else self._box.open(row.outcome, key.encode())
        if outcome is None:
            _log.warning("an outcome in the ledger cannot be opened: sealed by another key, or changed")
        return Found("done", row.token, row.owner, outcome)

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)
