"""The shapes of durable records: a few verbs each, met on every database and held to one contract suite."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from portside.errors import PortsideError


class Conflict(PortsideError):
    """Something else is stored under this name already; nothing was changed."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One API key without its secret.

    `id` is the part that may be shown, `digest` the SHA-256 of the whole key in hex. Times are seconds since the epoch.
    """

    id: str
    digest: str
    name: str
    principal: str
    scopes: tuple[str, ...]
    created: float
    expires: float | None = None
    revoked: float | None = None
    last_used: float | None = None


class Keys(Protocol):
    """The API keys that exist. Every method may raise RecordsUnavailable, and may then be called again."""

    async def add(self, record: KeyRecord) -> None:
        """Store a new key. Raises Conflict where another key has its id."""
        ...

    async def find(self, ids: Collection[str]) -> Mapping[str, KeyRecord]:
        """Return the keys with these ids, revoked and expired ones too, by id; unknown ids are left out."""
        ...

    async def all(self) -> Sequence[KeyRecord]:
        """Return every key, oldest first."""
        ...

    async def revoke(self, id: str, at: float) -> bool:
        """Mark a key as revoked, keeping the first time if it was before; False where there is no such key."""
        ...

    async def touch(self, uses: Mapping[str, float]) -> None:
        """Note when keys were last used, id to time; an earlier time than the stored one changes nothing."""
        ...


class Row(Protocol):
    """One row of one writer's chain.

    `entry` is canonical JSON, `time` in seconds since the epoch, `checkpoint` the signature where the row has one.
    """

    @property
    def writer(self) -> str: ...
    @property
    def sequence(self) -> int: ...
    @property
    def time(self) -> float: ...
    @property
    def entry(self) -> str: ...
    @property
    def hash(self) -> str: ...
    @property
    def checkpoint(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class AuditRow:
    """The plain value that is a `Row`; what the log returns."""

    writer: str
    sequence: int
    time: float
    entry: str
    hash: str
    checkpoint: str | None = None


class AuditLog(Protocol):
    """The audit log, one chain a writer. Every method may raise RecordsUnavailable, and may then be called again."""

    async def append(self, rows: Sequence[Row]) -> None:
        """Store all rows or none, in one transaction that is on disk afterwards.

        Rows that are stored already, just so, are left alone: an append whose outcome is unknown can be repeated.
        Raises Conflict where another row has the place of one.
        """
        ...

    def read(self, writer: str, from_sequence: int = 0) -> AsyncIterator[AuditRow]:
        """Yield a writer's rows from a sequence on, in order. Each piece is read in a transaction of its own."""
        ...

    async def last(self) -> Sequence[AuditRow]:
        """Return the row with the highest sequence of every writer."""
        ...

    async def prune(self, anchor: Row) -> None:
        """Replace the anchor's writer's rows up to its sequence, that included, by the anchor, in one transaction.

        May take up to a minute; on SQLite other writers wait meanwhile, so a long log is better pruned in steps.
        """
        ...
