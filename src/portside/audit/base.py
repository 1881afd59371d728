"""The shapes of the audit log: a kept row, a writer's head, and the places rows are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec

from portside.errors import PortsideError


class AuditUnavailable(PortsideError):
    """What happened could not be put on record now; whether the call may go on is the caller's choice."""


class AuditKeyInvalid(PortsideError):
    """A signing key or a pinned public key cannot be used: missing, readable by others, or no key."""


class Stored(msgspec.Struct, frozen=True, gc=False):
    """One row as it is kept. `hash` is lower-case hex, `entry` canonical JSON without its line end.

    `key` and `signature` (hex) are there on signed rows only. `writer` and `sequence` say where the row was kept,
    "" and 0 where the place does not say; what the entry itself says is compared with them.
    """

    entry: bytes
    hash: str
    key: str | None = None
    signature: str | None = None
    writer: str = ""
    sequence: int = 0
    time_us: int = 0


class Unreadable(NamedTuple):
    """A piece of a kept log that is no row. `place` is for people: a file and its line."""

    place: str
    reason: str
    writer: str = ""


@dataclass(frozen=True, slots=True)
class Last:
    """The last row of a writer; `ended` where it is known that its process has ended."""

    writer: str
    sequence: int
    hash: str
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Repair:
    """What a crash left half-written: where it was set aside, how many bytes, and their SHA-256."""

    place: str
    size: int
    sha256: str


class Sink(Protocol):
    """Where a writer keeps its rows. One writer uses it, one call at a time."""

    async def repair(self) -> Sequence[Repair]:
        """Set aside what writers that have ended left half-written. Raises AuditUnavailable."""
        ...

    async def append(self, rows: Sequence[Stored]) -> None:
        """Keep rows, all or none of them; they outlive a crash of the machine when this returns.

        Raises AuditUnavailable; then none of them counts as kept, though they may be, until `recover` has returned.
        """
        ...

    async def recover(self) -> None:
        """Make the place usable after a failed `append`. Raises AuditUnavailable where it is not yet."""
        ...

    async def last(self) -> Sequence[Last]:
        """Return the last row of every writer known here. Raises AuditUnavailable."""
        ...

    async def close(self) -> None:
        """Let go of the place. May be called twice."""
        ...
