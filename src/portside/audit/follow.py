"""What is new in a log since the last look: for people who watch it; nothing is verified."""

import heapq
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from portside.audit import chain
from portside.audit.base import Stored, Unreadable
from portside.audit.export import sources
from portside.audit.sinks import files
from portside.audit.sinks.records import as_stored
from portside.records.base import AuditLog

Kept = Stored | Unreadable


class Follower(Protocol):
    """Looks at a log again and again."""

    def fresh(self) -> AsyncIterator[Kept]:
        """Yield the rows added since the last call; at the first one, at least the newest rows of every writer."""
        ...


class FolderFollower:
    """Follows files and folders of files, new ones included. Raises OSError."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._offsets: dict[Path, int] = {}

    async def fresh(self) -> AsyncIterator[Kept]:
        for file in sources(self._paths):
            for row in self._lines(file):
                yield row

    def _lines(self, file: Path) -> Iterator[Kept]:
        writer = files.writer_of(file)
        with file.open("rb") as stream:
            stream.seek(self._offsets.get(file, 0))
            for line in stream:
                if not line.endswith(b"\n"):
                    return  # being written, or torn; the next look may tell
                self._offsets[file] = self._offsets.get(file, 0) + len(line)
                row = chain.unframe(line[:-1], writer)
                yield row if row is not None else Unreadable(str(file), "no row", writer)


class LogFollower:
    """Follows the durable store's table; the first look is at `first` rows a writer. Raises PortsideError."""

    def __init__(self, log: AuditLog, *, first: int) -> None:
        self._log = log
        self._first = first
        self._seen: dict[str, int] = {}
        self._has_looked = False

    async def fresh(self) -> AsyncIterator[Kept]:
        for last in await self._log.last():
            since = self._seen.get(last.writer, 0 if self._has_looked else max(0, last.sequence - self._first))
            self._seen[last.writer] = last.sequence
            if last.sequence <= since:
                continue
            async for row in self._log.read(last.writer, since + 1):
                if row.sequence <= last.sequence:
                    yield as_stored(row)
        self._has_looked = True


async def newest(rows: AsyncIterator[Kept], count: int) -> list[Kept]:
    """Return the `count` newest rows by the time they say, oldest of them first."""
    found: list[tuple[int, int, Kept]] = []
    order = 0
    async for row in rows:
        order += 1
        item = (_time_us(row), order, row)
        if len(found) < count:
            heapq.heappush(found, item)
        elif count:
            heapq.heappushpop(found, item)
    return [row for _, _, row in sorted(found, key=lambda item: item[:2])]


def _time_us(row: Kept) -> int:
    if isinstance(row, Unreadable):
        return 0
    try:
        return chain.decode(row.entry).time
    except chain.DecodeError:
        return 0
