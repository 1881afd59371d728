"""Logs to test with: a sink in memory that fails when told to, and logs of several writers made on a turned clock."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from portside.audit import chain, keys
from portside.audit.base import AuditUnavailable, Last, Repair, Stored, Unreadable
from portside.audit.event import Event, What, Who
from portside.audit.finding import Report
from portside.audit.sinks import files
from portside.audit.verify import Verification
from portside.audit.writer import Writer
from portside.clock import ManualClock
from portside.secret import Secret

SIGNER = keys.Signer(Secret(bytes(range(32))))
STRANGER = keys.Signer(Secret(bytes(range(1, 33))))


@dataclass
class MemorySink:
    """Keeps rows in a list for several writers; `failing` is how it fails, `is_late` only after keeping them."""

    rows: list[Stored] = field(default_factory=list[Stored])
    failing: str | None = None
    is_late: bool = False
    groups: list[int] = field(default_factory=list[int])
    closed: int = 0

    async def repair(self) -> Sequence[Repair]:
        return ()

    async def append(self, rows: Sequence[Stored]) -> None:
        if self.failing is not None and not self.is_late:
            raise AuditUnavailable(self.failing)
        self.rows += rows
        self.groups.append(len(rows))
        if self.failing is not None:
            raise AuditUnavailable(self.failing)

    async def recover(self) -> None:
        if self.failing is not None:
            raise AuditUnavailable(self.failing)

    async def last(self) -> Sequence[Last]:
        latest = {row.writer: row for row in self.rows}
        return [Last(row.writer, row.sequence, row.hash, _is_stop(row)) for row in latest.values()]

    async def close(self) -> None:
        self.closed += 1


def _is_stop(row: Stored) -> bool:
    seal = chain.decode(row.entry).seal
    return seal is not None and seal.state == "stop"


def call(name: str = "send_mail", **more: str) -> Event:
    """A usual call."""
    return Event(
        kind="call",
        who=Who(id=more.get("who", "alice"), kind="jwt"),
        origin="203.0.113.7",
        what=What(method="tools/call", name=name, era="modern", request=more.get("request", "r-1")),
        outcome="ok",
        duration_us=1200,
    )


def writer(sink: MemorySink, clock: ManualClock, server_id: str = "web-1", signer: keys.Signer = SIGNER) -> Writer:
    return Writer(sink, signer, server_id=server_id, clock=clock)


async def two_writers(*, rounds: int = 4, each: int = 5) -> tuple[list[Stored], ManualClock]:
    """Return the rows of two replicas that ran side by side for `rounds` minutes, and the clock at the end."""
    sink, clock = MemorySink(), ManualClock()
    async with writer(sink, clock, "web-1") as one, writer(sink, clock, "web-2") as two:
        for index in range(rounds):
            for replica in (one, two):
                for number in range(each):
                    await replica.append(call(f"tool-{index}-{number}"))
                    clock.advance(0.5)
            clock.advance(60 - each)
            await one.beat()
            await two.beat()
    return sink.rows, clock


def by_writer(rows: Iterable[Stored]) -> dict[str, list[Stored]]:
    found: dict[str, list[Stored]] = {}
    for row in rows:
        found.setdefault(row.writer, []).append(row)
    return found


def as_lines(rows: Iterable[Stored]) -> list[bytes]:
    return [chain.frame(row) for row in rows]


def check(logs: dict[str, bytes], *, as_of: float | None, pinned: keys.Signer = SIGNER) -> Report:
    """Verify files as they would be read from a disk: each writer's bytes under its name."""
    verification = Verification([pinned.public])
    for name, text in logs.items():
        for row in files.rows(text.splitlines(keepends=True), writer=name, place=name):
            verification.feed(row)
    return verification.finish(as_of_us=None if as_of is None else round(as_of * 1_000_000))


def check_rows(rows: Iterable[Stored | Unreadable], *, as_of: float | None = None) -> Report:
    verification = Verification([SIGNER.public])
    for row in rows:
        verification.feed(row)
    return verification.finish(as_of_us=None if as_of is None else round(as_of * 1_000_000))
