"""The shapes of shared state: a few verbs each, met by every implementation and its contract suite."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from portside.wire.session import SessionRecord


class Sessions(Protocol):
    """The legacy sessions that exist. Every method may raise StateUnavailable."""

    async def save(self, record: SessionRecord) -> None:
        """Store `record` under its id, replacing what was there."""
        ...

    async def load(self, id: str) -> SessionRecord | None:
        """Return the record, None where no such session exists (any more)."""
        ...

    async def remove(self, id: str) -> bool:
        """Forget the session; False where there was none."""
        ...

    async def count(self) -> int:
        """Return how many sessions exist."""
        ...


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event of a stream: `id` is unique within the session, `data` one line of JSON."""

    id: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Tail:
    """Where a client resumes: the stream its last event was on, and the events after it, in order."""

    stream: str
    events: Sequence[StoredEvent]


class Streams(Protocol):
    """The events legacy clients may ask for again. Every method may raise StateUnavailable."""

    async def append(self, session: str, stream: str, data: bytes) -> str:
        """Store one event at the end of a stream and return its id. Empty `data` makes a priming event."""
        ...

    async def after(self, session: str, event_id: str) -> Tail | None:
        """Return what followed `event_id` on its own stream of this session, None where that event is not known.

        Never returns events of another stream or another session (MCP 2025-11-25, Resumability and Redelivery).
        """
        ...

    async def drop(self, session: str) -> None:
        """Forget every stream of a session."""
        ...


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` uses of `key` within any `window_ms`. `name` is what headers and errors call the policy."""

    key: str
    most: int
    window_ms: int
    name: str = "default"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a use was counted, and where the limit that is nearest to its end stands.

    `remaining` uses are left of `limit` now; `reset_ms` until the first of those that count is forgotten;
    `retry_after_ms` until the use would have been counted, 0 where it was.
    """

    is_allowed: bool
    limit: Limit
    remaining: int
    reset_ms: int
    retry_after_ms: int = 0


class Counters(Protocol):
    """How often something was used lately. Every method may raise StateUnavailable."""

    async def hit(self, limits: Sequence[Limit], *, cost: int = 1) -> Verdict:
        """Count `cost` uses under every limit, or under none, and say which.

        Counting and deciding are one atomic step over all limits, also across replicas. Sliding window, exact: no
        window holds more than its limit, wherever it begins; a refused use is not counted. Raises ValueError for no
        limits, and for a cost that no window could ever hold.
        """
        ...
