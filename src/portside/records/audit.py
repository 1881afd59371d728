"""The audit log in SQL: chains of rows that are only added at the end and removed at the start."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sqlalchemy import and_, delete, exc, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from portside.records.base import AuditRow, Conflict, Row
from portside.records.database import Database
from portside.records.tables import audit

if TYPE_CHECKING:
    from sqlalchemy.sql.selectable import TypedReturnsRows

PRUNE_S: Final = 60.0
_PAGE: Final = 1000
_Rows: TypeAlias = "TypedReturnsRows[Any, Any, Any, Any, Any, Any]"

_READ = select(audit.c.writer, audit.c.sequence, audit.c.time, audit.c.entry, audit.c.hash, audit.c.checkpoint)


class SqlAuditLog:
    """`AuditLog` in a table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, rows: Sequence[Row]) -> None:
        try:
            await self._put(rows)
        except exc.IntegrityError:
            # Rare: only now is it worth looking what is there already.
            await self._complete(rows)

    async def read(self, writer: str, from_sequence: int = 0) -> AsyncIterator[AuditRow]:
        statement = _READ.where(audit.c.writer == writer).order_by(audit.c.sequence).limit(_PAGE)
        first = from_sequence
        while True:
            page = await self._rows(statement.where(audit.c.sequence >= first))
            for row in page:
                yield row
            if len(page) < _PAGE:
                return
            first = page[-1].sequence + 1

    async def last(self) -> Sequence[AuditRow]:
        return await self._rows(_newest_of_each())

    async def prune(self, anchor: Row) -> None:
        old = delete(audit).where(audit.c.writer == anchor.writer, audit.c.sequence <= anchor.sequence)

        async def replace(connection: AsyncConnection) -> None:
            await connection.execute(old)
            await connection.execute(insert(audit), [_values(anchor)])

        await self._database.run(replace, writes=True, limit_s=PRUNE_S)

    async def _put(self, rows: Sequence[Row]) -> None:
        values = [_values(row) for row in rows]

        async def put(connection: AsyncConnection) -> None:
            await connection.execute(insert(audit), values)

        if values:
            await self._database.run(put, writes=True)

    async def _complete(self, rows: Sequence[Row]) -> None:
        """Store what is missing of rows some of which are there."""
        stored = await self._stored(rows)
        for row in rows:
            plain = _plain(row)
            if stored.get((row.writer, row.sequence), plain) != plain:
                raise _conflict(row)
        missing = [row for row in rows if (row.writer, row.sequence) not in stored]
        try:
            await self._put(missing)
        except exc.IntegrityError as error:
            # The rows repeat each other, or somebody writes in this writer's name at this moment.
            raise _conflict(missing[0]) from error

    async def _stored(self, rows: Iterable[Row]) -> Mapping[tuple[str, int], AuditRow]:
        spans: dict[str, tuple[int, int]] = {}
        for row in rows:
            low, high = spans.get(row.writer, (row.sequence, row.sequence))
            spans[row.writer] = min(low, row.sequence), max(high, row.sequence)
        found: dict[tuple[str, int], AuditRow] = {}
        for writer, (low, high) in spans.items():
            statement = _READ.where(audit.c.writer == writer, audit.c.sequence.between(low, high))
            found |= {(row.writer, row.sequence): row for row in await self._rows(statement)}
        return found

    async def _rows(self, statement: _Rows) -> list[AuditRow]:
        async def look(connection: AsyncConnection) -> list[AuditRow]:
            return [AuditRow(*row) for row in await connection.execute(statement)]

        return await self._database.run(look)


def _newest_of_each() -> _Rows:
    """Return the newest row of every writer, by one index step a writer: grouping would read the whole index."""
    writers = select(func.min(audit.c.writer).label("writer")).cte("writers", recursive=True)
    following = select(func.min(audit.c.writer)).where(audit.c.writer > writers.c.writer).scalar_subquery()
    writers = writers.union_all(select(following).where(writers.c.writer.is_not(None)))
    others = audit.alias("others")
    newest = select(func.max(others.c.sequence)).where(others.c.writer == writers.c.writer).scalar_subquery()
    return _READ.join_from(writers, audit, and_(audit.c.writer == writers.c.writer, audit.c.sequence == newest))


def _plain(row: Row) -> AuditRow:
    return AuditRow(row.writer, row.sequence, row.time, row.entry, row.hash, row.checkpoint)


def _values(row: Row) -> dict[str, object]:
    return {
        "writer": row.writer,
        "sequence": row.sequence,
        "time": row.time,
        "entry": row.entry,
        "hash": row.hash,
        "checkpoint": row.checkpoint,
    }


def _conflict(row: Row) -> Conflict:
    return Conflict(
        f"audit log of {row.writer!r}: another entry has sequence {row.sequence}; two writers use this name, or the "
        "log was changed"
    )
