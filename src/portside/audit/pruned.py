"""Pruning as an act: only what verifies goes, and the log says before and after that it went."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from portside.audit import retention
from portside.audit.base import Sink, Stored, Unreadable
from portside.audit.event import Detail, Event
from portside.audit.export import sources
from portside.audit.finding import Finding
from portside.audit.keys import Signer
from portside.audit.sinks import files, records
from portside.audit.sinks.file import FileSink
from portside.audit.sinks.records import RecordsSink
from portside.audit.verify import Verification
from portside.audit.writer import Writer
from portside.clock import Clock
from portside.errors import PortsideError
from portside.records.base import AuditLog

WRITER: Final = "prune"
"""The server id under which the act is on record."""

Take = Callable[[Stored | Unreadable], None]


class Place(Protocol):
    """Where a log is kept."""

    def sink(self) -> Sink:
        """Return a sink for one more writer there."""
        ...

    async def read(self, take: Take) -> None:
        """Give every row to `take`, in order. Raises OSError, PortsideError."""
        ...

    async def due(self, before_us: int) -> Mapping[str, int]:
        """Return up to where rows would be pruned, by writer. Raises OSError, PortsideError."""
        ...

    async def prune(self, signer: Signer, *, before_us: int, now_us: int, only: Mapping[str, int]) -> Mapping[str, int]:
        """Prune as planned; return how far, by writer. Raises OSError, PortsideError."""
        ...


class InFolder:
    """A log in files. A `Place`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def sink(self) -> Sink:
        return FileSink(self._folder)

    async def read(self, take: Take) -> None:
        for row in files.read(sources([self._folder])):
            take(row)

    async def due(self, before_us: int) -> Mapping[str, int]:
        return retention.due_in_folder(self._folder, before_us=before_us)

    async def prune(self, signer: Signer, *, before_us: int, now_us: int, only: Mapping[str, int]) -> Mapping[str, int]:
        # In a thread: the act's own writer goes on signing meanwhile.
        return await asyncio.to_thread(
            retention.prune_folder, self._folder, signer, before_us=before_us, now_us=now_us, only=only
        )


class InDatabase:
    """A log in the durable store, which belongs to the caller. A `Place`."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    def sink(self) -> Sink:
        return RecordsSink(self._log)

    async def read(self, take: Take) -> None:
        async for row in records.read(self._log):
            take(row)

    async def due(self, before_us: int) -> Mapping[str, int]:
        return await retention.due_in_log(self._log, before_us=before_us)

    async def prune(self, signer: Signer, *, before_us: int, now_us: int, only: Mapping[str, int]) -> Mapping[str, int]:
        return await retention.prune_log(self._log, signer, before_us=before_us, now_us=now_us, only=only)


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes, by writer up to a sequence, and what is as old and stays, with what is wrong with it.

    None stands for a log with more findings than a report holds.
    """

    before_us: int
    due: Mapping[str, int]
    doubtful: Mapping[str, Finding | None]


async def plan(place: Place, public: Iterable[bytes], *, before_us: int, now_us: int) -> Plan:
    """Return what may be pruned of what is older than `before_us`: the anchor vouches for it, so it must verify.

    Changes nothing. Raises OSError, PortsideError.
    """
    due = await place.due(before_us)
    if not due:
        return Plan(before_us, due, {})
    verification = Verification(public)
    await place.read(verification.feed)
    doubtful = retention.in_doubt(due, verification.finish(as_of_us=now_us))
    return Plan(before_us, {writer: last for writer, last in due.items() if writer not in doubtful}, doubtful)


async def carry_out(place: Place, planned: Plan, signer: Signer, clock: Clock) -> Mapping[str, int]:
    """Prune as planned and return how far, by writer; the log says so before and after.

    Raises OSError, PortsideError; then some of it may be done, the log verifies, and it can be run again.
    """
    said: dict[str, Detail] = {"before": planned.before_us, "spared": len(planned.doubtful)}
    async with Writer(place.sink(), signer, server_id=WRITER, clock=clock) as writer:
        await writer.append(Event(kind="audit.pruning", details={**said, "writers": len(planned.due)}))
        now_us = round(clock.now() * 1_000_000)
        try:
            done = await place.prune(signer, before_us=planned.before_us, now_us=now_us, only=planned.due)
        except (OSError, PortsideError) as error:
            await writer.append(Event(kind="audit.prune_failed", details={**said, "error": str(error)}))
            raise
        await writer.append(Event(kind="audit.pruned", details={**said, "writers": len(done)}))
    return done
