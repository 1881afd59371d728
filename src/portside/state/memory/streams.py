"""Streams in memory: one journal a session, bounded by count and bytes."""

from collections import OrderedDict
from collections.abc import Mapping

from portside.errors import Fenced
from portside.state.base import StoredEvent, Tail
from portside.state.event_id import place
from portside.state.memory.sessions import MemorySessions


class _Journal:
    """One session's events, oldest first, whatever stream they are on."""

    __slots__ = ("bytes", "calls", "events", "sequence")

    def __init__(self) -> None:
        # A list: most journals hold one event or none, and a deque takes 760 bytes for that.
        self.events: list[tuple[int, str, bytes]] = []
        self.calls: dict[str, bytes] = {}
        self.bytes = 0
        self.sequence = 0


class MemoryStreams:
    """`Streams` of one process, bounded per session by count and bytes: the oldest events go first.

    `sessions` say which epoch a session is in; what they have forgotten is forgotten here.
    """

    def __init__(self, sessions: MemorySessions, *, max_events: int, max_bytes: int) -> None:
        self._sessions = sessions
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._journals: OrderedDict[str, _Journal] = OrderedDict()

    async def append(
        self, session: str, stream: str, data: bytes, *, epoch: int, call: bytes | None = None, is_last: bool = False
    ) -> str:
        self._sweep()
        if not self._sessions.use(session, epoch):
            self._find(session)
            raise Fenced(f"a session is gone or not in epoch {epoch} any more")
        journal = self._journals.setdefault(session, _Journal())
        if call is not None:
            journal.calls[stream] = call
        if is_last:
            journal.calls.pop(stream, None)
        journal.sequence += 1
        journal.events.append((journal.sequence, stream, data))
        journal.bytes += len(data)
        while len(journal.events) > self._max_events or (journal.bytes > self._max_bytes and len(journal.events) > 1):
            journal.bytes -= len(journal.events.pop(0)[2])
        return f"{stream}.{journal.sequence}"

    async def after(self, session: str, event_id: str) -> Tail | None:
        wanted = place(event_id)
        journal = self._find(session)
        if wanted is None or journal is None or not any((number, on) == wanted for number, on, _ in journal.events):
            return None
        sequence, stream = wanted
        events = [
            StoredEvent(f"{on}.{number}", data)
            for number, on, data in journal.events
            if on == stream and number > sequence and data
        ]
        return Tail(stream, events)

    async def unanswered(self, session: str) -> Mapping[str, bytes]:
        journal = self._find(session)
        return dict(journal.calls) if journal is not None else {}

    async def drop(self, session: str) -> None:
        journal = self._find(session)
        if journal is not None:
            # The sequence stays: an id that was given once must never name another event.
            journal.events.clear()
            journal.calls.clear()
            journal.bytes = 0

    def _find(self, session: str) -> _Journal | None:
        """Return the journal of a session that exists; that of one that is gone is forgotten."""
        if self._sessions.exists(session):
            return self._journals.get(session)
        self._journals.pop(session, None)
        return None

    def _sweep(self) -> None:
        """Look at one journal, each time another, so that none outlives its session for long."""
        session = next(iter(self._journals), None)
        if session is not None and self._find(session) is not None:
            self._journals.move_to_end(session)
