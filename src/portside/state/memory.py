"""State in this process: right for one replica, and gone with it."""

from collections import deque

from portside.state.base import StoredEvent, Tail
from portside.wire.session import SessionRecord


class MemorySessions:
    """`Sessions` in a dictionary."""

    def __init__(self) -> None:
        self._records: dict[str, SessionRecord] = {}

    async def save(self, record: SessionRecord) -> None:
        self._records[record.id] = record

    async def load(self, id: str) -> SessionRecord | None:
        return self._records.get(id)

    async def remove(self, id: str) -> bool:
        return self._records.pop(id, None) is not None

    async def count(self) -> int:
        return len(self._records)


class _Journal:
    """One session's events, oldest first, whatever stream they are on."""

    __slots__ = ("bytes", "events", "sequence")

    def __init__(self) -> None:
        self.events: deque[tuple[int, str, bytes]] = deque()
        self.bytes = 0
        self.sequence = 0


class MemoryStreams:
    """`Streams` in memory, bounded per session by count and bytes: the oldest events go first.

    An event id is `<stream>.<sequence>`, with one sequence per session, so that it names both its stream and its place.
    """

    def __init__(self, *, max_events: int, max_bytes: int) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._journals: dict[str, _Journal] = {}

    async def append(self, session: str, stream: str, data: bytes) -> str:
        journal = self._journals.get(session)
        if journal is None:
            journal = self._journals[session] = _Journal()
        journal.sequence += 1
        journal.events.append((journal.sequence, stream, data))
        journal.bytes += len(data)
        while len(journal.events) > self._max_events or (journal.bytes > self._max_bytes and len(journal.events) > 1):
            journal.bytes -= len(journal.events.popleft()[2])
        return f"{stream}.{journal.sequence}"

    async def after(self, session: str, event_id: str) -> Tail | None:
        stream, _, digits = event_id.rpartition(".")
        journal = self._journals.get(session)
        if journal is None or not stream or not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
            return None
        place = int(digits)
        if not any(number == place and name == stream for number, name, _ in journal.events):
            return None
        events = [
            StoredEvent(f"{name}.{number}", data)
            for number, name, data in journal.events
            if name == stream and number > place and data
        ]
        return Tail(stream, events)

    async def drop(self, session: str) -> None:
        self._journals.pop(session, None)
