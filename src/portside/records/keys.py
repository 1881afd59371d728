"""API keys in SQL."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import bindparam, exc, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portside.records.base import Conflict, KeyRecord
from portside.records.database import Database
from portside.records.tables import keys

_READ = select(
    keys.c.id,
    keys.c.digest,
    keys.c.name,
    keys.c.principal,
    keys.c.scopes,
    keys.c.created,
    keys.c.expires,
    keys.c.revoked,
    keys.c.last_used,
)
_TOUCH = (
    update(keys)
    .where(keys.c.id == bindparam("used_id"))
    .where(or_(keys.c.last_used.is_(None), keys.c.last_used < bindparam("used_at")))
    .values(last_used=bindparam("used_at"))
)


class SqlKeys:
    """`Keys` in a table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, record: KeyRecord) -> None:
        async def put(connection: AsyncConnection) -> None:
            await connection.execute(insert(keys), [_columns(record)])

        try:
            await self._database.run(put, writes=True)
        except exc.IntegrityError as error:
            # The first try may have been stored before its connection was lost.
            stored = (await self.find((record.id,))).get(record.id)
            if stored is None or stored.digest != record.digest:
                raise Conflict(f"API key {record.id!r}: another key has this id") from error

    async def find(self, ids: Collection[str]) -> Mapping[str, KeyRecord]:
        async def look(connection: AsyncConnection) -> list[KeyRecord]:
            found = await connection.execute(_READ.where(keys.c.id.in_(sorted(ids))))
            return [_record(*row) for row in found]

        return {record.id: record for record in await self._database.run(look)}

    async def all(self) -> Sequence[KeyRecord]:
        async def look(connection: AsyncConnection) -> list[KeyRecord]:
            found = await connection.execute(_READ.order_by(keys.c.created, keys.c.id))
            return [_record(*row) for row in found]

        return await self._database.run(look)

    async def revoke(self, id: str, at: float) -> bool:
        statement = update(keys).where(keys.c.id == id).values(revoked=func.coalesce(keys.c.revoked, at))

        async def mark(connection: AsyncConnection) -> bool:
            return (await connection.execute(statement)).rowcount == 1

        return await self._database.run(mark, writes=True)

    async def touch(self, uses: Mapping[str, float]) -> None:
        # In one order everywhere, so that two replicas never wait for each other.
        rows = [{"used_id": id, "used_at": at} for id, at in sorted(uses.items())]

        async def note(connection: AsyncConnection) -> None:
            await connection.execute(_TOUCH, rows)

        if rows:
            await self._database.run(note, writes=True)


def _columns(record: KeyRecord) -> dict[str, object]:
    return {
        "id": record.id,
        "digest": record.digest,
        "name": record.name,
        "principal": record.principal,
        "scopes": " ".join(record.scopes),
        "created": record.created,
        "expires": record.expires,
        "revoked": record.revoked,
        "last_used": record.last_used,
    }


def _record(
    id: str, digest: str, name: str, principal: str, scopes: str, created: float, *times: float | None
) -> KeyRecord:
    return KeyRecord(id, digest, name, principal, tuple(scopes.split()), created, *times)
