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
