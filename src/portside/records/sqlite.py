"""SQLite, the database of one machine: a file nobody else may read, written ahead, each commit on disk."""

import errno
import os
import sqlite3
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, NullPool, event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from portside.errors import RecordsUnavailable, StartFailed

WRITES: Final = "portside_writes"
"""Execution option of a connection that is about to write."""

_RETRY_S: Final = 0.02


def prepare(path: Path, *, limit_s: float) -> None:
    """Make the file, in its folder, as what it must be: ours alone, and written ahead. May be called at any time.

    Blocks. Raises StartFailed where that cannot be, RecordsUnavailable where others hold it locked for `limit_s`.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = path.parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise StartFailed(
                f"records folder {str(path.parent)!r}: expected one that others cannot write to, it has mode "
                f"{stat.S_IMODE(mode):04o}",
                hint=f"chmod 700 {path.parent}",
            )
        _own(path)
    except OSError as error:
        raise StartFailed(f"records file {str(path)!r}: {error.strerror or error}") from error
    _write_ahead(path, limit_s)


def _own(path: Path) -> None:
    """Make the file readable by its owner alone; SQLite gives its -wal and -shm files the same mode.

    A file that exists is never opened here: closing it would drop every lock this process has on it (POSIX), and the
    next process to leave would then take the write-ahead log for nobody's.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if not path.is_file():
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR)) from None
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)


def _write_ahead(path: Path, limit_s: float) -> None:
    """Switch the file to write-ahead logging, which it remembers."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            mode = _journal_mode(path, limit_s)
            break
        except sqlite3.OperationalError as error:
            # While another writes to a new file, the switch is refused at once, busy time-out or not.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise RecordsUnavailable(f"records file {str(path)!r}: {error}") from error
            time.sleep(_RETRY_S)
        except sqlite3.DatabaseError as error:
            raise StartFailed(f"records file {str(path)!r}: expected an SQLite database: {error}") from error
    if mode != "wal":
        raise StartFailed(
            f"records file {str(path)!r}: its file system cannot do write-ahead logging, journal mode {mode!r}",
            hint="put it on a local disk, or use PostgreSQL",
        )


def _journal_mode(path: Path, limit_s: float) -> str:
    connection = sqlite3.connect(path, timeout=limit_s, isolation_level=None)
    try:
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    finally:
        connection.close()
    return mode


def engine(path: Path, *, pool_size: int | None, busy_s: float) -> AsyncEngine:
    """Return the engine of a prepared file; nothing is opened yet. No pool where `pool_size` is None.

    Who finds the file locked waits `busy_s` for it.
    """
    pool: dict[str, Any] = {"poolclass": NullPool}
    if pool_size is not None:
        pool = {"pool_size": pool_size, "max_overflow": 0}
    made = create_async_engine(URL.create("sqlite+aiosqlite", database=str(path)), hide_parameters=True, **pool)
    event.listen(made.sync_engine, "connect", _set_up(busy_s))
    event.listen(made.sync_engine, "begin", _begin)
    return made


def _set_up(busy_s: float) -> Callable[[Any, object], None]:
    def set_up(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the sqlite3 module begins too late, and not for every statement
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={int(busy_s * 1000)}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA synchronous=FULL")  # in WAL mode, NORMAL loses commits with the power
        cursor.close()

    return set_up


def _begin(connection: Connection) -> None:
    # A reader that turns writer is refused at once when another was quicker; who means to write says so.
    immediate = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
