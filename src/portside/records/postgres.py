"""PostgreSQL, the database several replicas share, also through PgBouncer in transaction mode."""

from typing import Any, Final, cast

from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from portside.errors import StartFailed

RECYCLE_S: Final = 300
"""A connection older than this is replaced before use: firewalls forget idle ones without telling."""


def engine(dsn: str, *, pool_size: int | None, limit_s: float) -> AsyncEngine:
    """Return the engine of a database; nothing is opened yet. No pool where `pool_size` is None.

    `dsn` is read as libpq would read it: several hosts, `sslmode`, sockets. Never more than `pool_size` connections,
    each with `limit_s` to connect. Raises StartFailed where the driver is not installed.
    """
    try:
        import asyncpg  # pyright: ignore[reportMissingTypeStubs]  # an extra
    except ImportError as error:
        raise StartFailed("records in PostgreSQL need asyncpg", hint="pip install 'portside[postgres]'") from error

    driver = cast("Any", asyncpg)  # it has no types

    async def connect(*_: object, **__: object) -> object:
        return await driver.connect(dsn, timeout=limit_s, statement_cache_size=0)

    pool: dict[str, Any] = {"poolclass": NullPool}
    if pool_size is not None:
        pool = {
            "pool_size": pool_size,
            "max_overflow": 0,
            "pool_timeout": limit_s,
            "pool_recycle": RECYCLE_S,
            "pool_use_lifo": True,
        }
    # Behind PgBouncer the next transaction may meet another backend, which knows no statement we prepared by name, or
    # one of somebody else's by the same name: only the unnamed statement is safe, and it leaves nothing behind. It is
    # what the driver uses where neither it nor SQLAlchemy keeps statements.
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        connect_args={"prepared_statement_cache_size": 0},
        hide_parameters=True,
        **pool,
    )
