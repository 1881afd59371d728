"""Keeps rows in the audit table of the durable store, one transaction a group."""

from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import contextmanager

from portside.audit import chain
from portside.audit.base import AuditUnavailable, Last, Repair, Stored, Unreadable
from portside.errors import PortsideError
from portside.records.base import AuditLog, AuditRow, Row


class RecordsSink:
    """Keeps one writer's rows in `log`, which belongs to the caller and outlives this."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    async def repair(self) -> Sequence[Repair]:
        return ()  # a transaction is there or not

    async def append(self, rows: Sequence[Stored]) -> None:
        with _unavailable():
            await self._log.append([as_row(row) for row in rows])

    async def recover(self) -> None:
        """Nothing is half-written; the writer looks at the last row itself."""

    async def last(self) -> Sequence[Last]:
        with _unavailable():
            return [Last(row.writer, row.sequence, row.hash) for row in await self._log.last()]

    async def close(self) -> None:
        """The store is closed by the one who opened it."""


def as_row(row: Stored) -> AuditRow:
    """Return a row in the table's columns."""
    checkpoint = None if row.key is None else f"{row.key}:{row.signature}"
    return AuditRow(row.writer, row.sequence, row.time_us / 1_000_000, row.entry.decode(), row.hash, checkpoint)


async def read(log: AuditLog) -> AsyncIterator[Stored | Unreadable]:
    """Yield every row of the table, writer by writer, by sequence. Raises PortsideError."""
    for writer in sorted(row.writer for row in await log.last()):
        async for row in log.read(writer, 0):
            yield as_stored(row)


def as_stored(row: Row) -> Stored | Unreadable:
    """Return a row of the table as it was given, Unreadable where its columns do not agree with its text."""
    place = f"row {row.writer} {row.sequence}"
    entry = row.entry.encode("utf-8", "surrogatepass")
    try:
        said = chain.decode(entry)
    except chain.DecodeError:
        return Unreadable(place, "its text is no entry", row.writer)
    if row.time != said.time / 1_000_000:
        return Unreadable(place, f"its column says time {row.time!r}, its text {said.time / 1_000_000!r}", row.writer)
    key, _, signature = (row.checkpoint or "").partition(":")
    if row.checkpoint is None:
        return Stored(entry, row.hash, None, None, row.writer, row.sequence, said.time)
    return Stored(entry, row.hash, key, signature, row.writer, row.sequence, said.time)


@contextmanager
def _unavailable() -> Generator[None]:
    try:
        yield
    except PortsideError as error:
        raise AuditUnavailable(error.message, hint=error.hint) from error
