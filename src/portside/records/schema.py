"""Which revision a database is at, and how it gets to ours: forwards only, one at a time, all or nothing."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, String, column, exc, inspect, select, table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from portside.errors import StartFailed
from portside.records import sqlite
from portside.records.address import Address, parse
from portside.records.database import DEADLINE_S, Database, connect, reason
from portside.records.tables import SCHEMA, SCHEMA_TABLE
from portside.version import VERSION

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

UPGRADE_S: Final = 60.0
"""How long an upgrade may take, waiting for another one included."""

_SCRIPTS: Final = Path(__file__).with_name("migrations")
_LOCK: Final = 0x706F7274  # "port"; ours among the advisory locks of the database


async def upgrade(url: str, *, limit_s: float = UPGRADE_S) -> tuple[str | None, str]:
    """Bring the database to this version's schema; return the revisions before (None: empty) and after.

    May be called at any time, from several processes at once: one works, the others wait and find nothing to do.
    Raises StartFailed where it fails, nothing changed, or where the schema is a newer version's; RecordsUnavailable.
    """
    address = parse(url)
    database = await _connected(address, limit_s)

    async def migrate(connection: AsyncConnection) -> str | None:
        return await connection.run_sync(_migrate, address.shown)

    try:
        before = await database.run(migrate, writes=True)
    finally:
        await database.close()
    return before, SCHEMA


async def current(url: str, *, limit_s: float = DEADLINE_S) -> str | None:
    """Return the revision the database is at, None where it holds nothing of ours. Raises RecordsUnavailable."""
    address = parse(url)
    if address.dialect == "sqlite" and not address.path.exists():
        return None  # asking must not make it
    database = await _connected(address, limit_s)
    try:
        return await database.run(revision)
    finally:
        await database.close()


async def pending(url: str, *, limit_s: float = DEADLINE_S) -> tuple[str, ...]:
    """Return the revisions an upgrade would go through, oldest first. Raises as `upgrade`."""
    return missing(await current(url, limit_s=limit_s), parse(url).shown)


async def revision(connection: AsyncConnection) -> str | None:
    """Return the revision a database is at."""
    return await connection.run_sync(_revision)


def missing(found: str | None, shown: str) -> tuple[str, ...]:
    """Return the revisions from `found` to ours, oldest first. Raises StartFailed where `found` is not ours."""
    if found == SCHEMA:
        return ()  # the usual case, which needs no scripts
    known = [script.revision for script in _scripts().walk_revisions()]
    if found is not None and found not in known:
        raise StartFailed(
            f"records in {shown}: schema {found!r} is not known to portside {VERSION}, whose newest is {SCHEMA!r}",
            hint="run the version that wrote it, or a newer one; a schema is never downgraded, so going back means "
            "restoring a backup",
        )
    return tuple(reversed(known[: known.index(found)] if found is not None else known))


async def _connected(address: Address, limit_s: float) -> Database:
    if address.dialect == "sqlite":
        await asyncio.to_thread(sqlite.prepare, address.path, limit_s=limit_s)
    return connect(address, deadline_s=limit_s)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(SCHEMA_TABLE):
        return None
    return connection.scalar(select(column("version_num", String)).select_from(table(SCHEMA_TABLE)))


def _migrate(connection: Connection, shown: str) -> str | None:
    """Upgrade inside the transaction that is open, and return the revision before."""
    if connection.dialect.name == "postgresql":
        # Ends with the transaction, so PgBouncer cannot give it to somebody else. SQLite's transaction is a lock.
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    before = _revision(connection)
    if missing(before, shown):
        try:
            _run_scripts(connection)
        except exc.DBAPIError as error:
            if error.connection_invalidated:
                raise
            message = f"records in {shown}: upgrade from {before} to {SCHEMA} failed, nothing changed: {reason(error)}"
            raise StartFailed(message) from error
    return before


def _scripts() -> "ScriptDirectory":
    from alembic.script import ScriptDirectory  # alembic takes long to import, and is seldom needed

    return ScriptDirectory(str(_SCRIPTS))


def _run_scripts(connection: Connection) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext, RevisionStep

    scripts = _scripts()

    def steps(found: str, _: MigrationContext) -> list[RevisionStep]:
        return scripts._upgrade_revs("head", found)  # pyright: ignore[reportPrivateUsage]  # as alembic.command does

    with EnvironmentContext(Config(), scripts, fn=steps, destination_rev="head") as environment:
        environment.configure(connection=connection, version_table=SCHEMA_TABLE, transactional_ddl=True)
        with environment.begin_transaction():
            environment.run_migrations()
