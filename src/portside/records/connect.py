"""The one way to the records: opened, checked against this version, closed for certain."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from portside.clock import Clock, SystemClock
from portside.errors import StartFailed
from portside.records import database, schema, sqlite
from portside.records.address import parse
from portside.records.audit import SqlAuditLog
from portside.records.base import AuditLog, Keys
from portside.records.database import DEADLINE_S
from portside.records.keys import SqlKeys
from portside.records.ledger import PURPOSE, SqlLedger
from portside.seal import Box

POOL_SIZE: Final = 5


@dataclass(frozen=True, slots=True)
class Records:
    """Durable records that are open. `ping` returns once the database has answered, or raises RecordsUnavailable."""

    shown: str
    keys: Keys
    audit: AuditLog
    ledger: SqlLedger
    ping: Callable[[], Awaitable[None]]


@asynccontextmanager
async def open_records(
    url: str,
    *,
    deadline_s: float = DEADLINE_S,
    pool_size: int = POOL_SIZE,
    secrets: Sequence[bytes] = (),
    clock: Clock | None = None,
) -> AsyncGenerator[Records]:
    """Open the records for the block; every operation has `deadline_s`, and they share `pool_size` connections.

    `secrets` (`ENCRYPTION_KEY`) seal what the ledger keeps; without any, whoever reads the database can read it.

    SQLite is made and upgraded here, since one machine uses it. PostgreSQL never is: replicas of two versions may
    run side by side, so when its schema changes is somebody's decision. Raises SettingsInvalid, StartFailed where
    the schema is not this version's, and RecordsUnavailable.
    """
    address = parse(url)
    if address.dialect == "sqlite":
        await asyncio.to_thread(sqlite.prepare, address.path, limit_s=schema.UPGRADE_S)
    opened = database.connect(address, deadline_s=deadline_s, pool_size=pool_size)
    try:
        steps = schema.missing(await opened.run(schema.revision), address.shown)
        if steps and address.dialect == "sqlite":
            await schema.upgrade(url)
        elif steps:
            raise StartFailed(
                f"records in {address.shown}: schema is {len(steps)} steps behind this version ({', '.join(steps)})",
                hint="run `portside db upgrade`",
            )
        box = Box(PURPOSE, secrets) if secrets else None
        ledger = SqlLedger(opened, clock or SystemClock(), box)
        yield Records(address.shown, SqlKeys(opened), SqlAuditLog(opened), ledger, opened.ping)
    finally:
        await opened.close()
