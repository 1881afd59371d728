"""One database in use: every operation has a deadline, errors are ours, and what was lost is opened anew."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar, cast
from weakref import WeakSet

from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from portside.errors import RecordsUnavailable
from portside.records import postgres, sqlite
from portside.records.address import Address

DEADLINE_S: Final = 2.0
_BUSY_SHARE: Final = 0.75  # of the deadline: a lock that is held too long is told as that, not as silence
_T = TypeVar("_T")


class _Driver(Protocol):
    """A connection as PostgreSQL's driver knows it."""

    def terminate(self) -> None:
        """Cut it without asking the server; may be called twice."""
        ...


class Database:
    """Runs operations in transactions, each within `deadline_s`. Close it, or its threads and sockets stay.

    Operations must be repeatable: one whose connection was lost is run a second time.
    """

    def __init__(self, address: Address, engine: AsyncEngine, *, deadline_s: float) -> None:
        self._address = address
        self._engine = engine
        self._deadline_s = deadline_s
        self._under_way: set[asyncio.Task[object]] = set()
        self._drivers: WeakSet[_Driver] = WeakSet()
        # SQLite's writers poll for the lock, and a quick one can starve the others; waiting in line here is fair.
        self._turn = asyncio.Lock() if address.dialect == "sqlite" else None
        self._is_closed = False

    def __repr__(self) -> str:
        return f"Database({self._address.shown!r}, {len(self._under_way)} operations under way)"

    @property
    def is_sqlite(self) -> bool:
        """Whether this is a file of one machine."""
        return self._address.dialect == "sqlite"

    async def run(
        self, work: Callable[[AsyncConnection], Awaitable[_T]], *, writes: bool = False, limit_s: float | None = None
    ) -> _T:
        """Return what `work` returns, committed; rolled back where it raises.

        `writes` says that `work` does; `limit_s` takes the deadline's place. Raises RecordsUnavailable where the
        database is not there, refuses or takes too long; constraint violations pass as SQLAlchemy's IntegrityError.
        """
        limit_s = self._deadline_s if limit_s is None else limit_s
        if self._is_closed:
            raise RecordsUnavailable(f"records in {self._address.shown}: closed")
        held: list[_Driver] = []
        task = asyncio.create_task(self._translated(work, writes, held), name="records")
        self._under_way.add(cast("asyncio.Task[object]", task))
        task.add_done_callback(self._ended)
        try:
            done, _ = await asyncio.wait((task,), timeout=limit_s)
        except asyncio.CancelledError:
            _abandon(task, held)
            raise
        if not done:
            _abandon(task, held)
            raise RecordsUnavailable(f"records in {self._address.shown}: no answer within {limit_s:g} s")
        return task.result()

    async def ping(self) -> None:
        """Return once the database has answered. Raises RecordsUnavailable."""

        async def ask(connection: AsyncConnection) -> None:
            await connection.execute(text("SELECT 1"))

        await self.run(ask)

    async def close(self) -> None:
        """Let operations under way end by their deadlines, then close every connection, if need be by force."""
        self._is_closed = True
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=self._deadline_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=self._deadline_s)
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._engine.dispose()
        except TimeoutError:
            # A paused server takes no leave; there is nothing more to say to it, and the sockets are cut below.
            pass
        finally:
            for driver in list(self._drivers):
                driver.terminate()

    async def _translated(
        self, work: Callable[[AsyncConnection], Awaitable[_T]], writes: bool, held: list[_Driver]
    ) -> _T:
        try:
            async with self._turn if writes and self._turn is not None else contextlib.nullcontext():
                try:
                    return await self._once(work, writes, held)
                except exc.DBAPIError as error:
                    if not error.connection_invalidated:
                        raise
                    # The server was restarted since: the pool has dropped its connections, and makes new ones.
                    return await self._once(work, writes, held)
        except (exc.IntegrityError, exc.DataError):
            raise
        except (exc.DBAPIError, exc.TimeoutError, OSError, TimeoutError) as error:
            raise RecordsUnavailable(f"records in {self._address.shown}: {reason(error)}") from error

    async def _once(self, work: Callable[[AsyncConnection], Awaitable[_T]], writes: bool, held: list[_Driver]) -> _T:
        async with self._engine.connect() as connection:
            if not self.is_sqlite:
                held.append(cast("_Driver", (await connection.get_raw_connection()).driver_connection))
                self._drivers.update(held)
            if writes:
                await connection.execution_options(**{sqlite.WRITES: True})
            async with connection.begin():
                return await work(connection)

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # an abandoned operation has nobody to tell


def _abandon(task: asyncio.Task[_T], held: list[_Driver]) -> None:
    """Stop an operation nobody waits for: cutting its connection is the one way that does not ask the server."""
    for driver in held:
        driver.terminate()
    task.cancel()


def reason(error: BaseException) -> str:
    """Return what a database error says, on one line, without the statement and its values."""
    inner = error.orig if isinstance(error, exc.DBAPIError) and error.orig is not None else error
    lines = str(inner).strip().splitlines()
    return lines[0][:300] if lines else type(inner).__name__


def connect(address: Address, *, deadline_s: float = DEADLINE_S, pool_size: int | None = None) -> Database:
    """Return a database that opens connections as it needs them, and keeps at most `pool_size` of them, or none.

    SQLite's file must have been prepared. The caller closes it.
    """
    if address.dialect == "sqlite":
        engine = sqlite.engine(address.path, pool_size=pool_size, busy_s=deadline_s * _BUSY_SHARE)
    else:
        engine = postgres.engine(address.dsn, pool_size=pool_size, limit_s=deadline_s)
    return Database(address, engine, deadline_s=deadline_s)
