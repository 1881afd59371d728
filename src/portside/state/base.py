"""The shapes of shared state: a few verbs each, met by every implementation and its contract suite.

A replica that lives has a holder: a name of its own, never used again, under which it leases and owns. Every method
may raise StateUnavailable. Times are milliseconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from portside.wire.session import SessionRecord


class Leases(Protocol):
    """What one holder has at a time, for as long as it renews it: its own life, a job only one may do."""

    async def acquire(self, name: str, holder: str, *, ttl_ms: int) -> int | None:
        """Take the lease, or renew it; None where somebody else has it.

        Returns the fencing token: the same for every renewal, a higher one each time the lease was taken anew. So a
        token that changed says that the lease had lapsed meanwhile.
        """
        ...

    async def release(self, name: str, holder: str) -> bool:
        """Give the lease back; False where `holder` has it no more."""
        ...

    async def holder(self, name: str) -> str | None:
        """Return who has the lease now, None where nobody does."""
        ...


@dataclass(frozen=True, slots=True)
class Held:
    """A session and whose it is: `owner` is a holder, empty where it let go; `epoch` rises when it changes hands."""

    record: SessionRecord
    owner: str
    epoch: int


class Sessions(Protocol):
    """The legacy sessions that exist, each with at most one owner. Idle ones expire after a time."""

    async def create(self, record: SessionRecord, owner: str) -> int:
        """Store a new session and return its first epoch."""
        ...

    async def load(self, id: str) -> Held | None:
        """Return the session, None where no such session exists (any more)."""
        ...

    async def save(self, record: SessionRecord, *, epoch: int) -> bool:
        """Replace the record; False where the session is gone or `epoch` is not its epoch any more."""
        ...

    async def claim(self, id: str, owner: str, *, epoch: int) -> int | None:
        """Take over a session whose owner has let go, or whose owner's life (`life(owner)`) is leased no more.

        Returns the new epoch. None where the session is gone, its epoch is not `epoch`, or its owner lives.
        """
        ...

    async def release(self, id: str, *, epoch: int) -> bool:
        """Let go of a session, so that the next replica that is asked may claim it at once; False as in `save`."""
        ...

    async def touch(self, ids: Sequence[str]) -> None:
        """Begin the time after which these sessions expire anew; unknown ones are ignored."""
        ...

    async def remove(self, id: str) -> bool:
        """Forget the session; False where there was none."""
        ...

    async def count(self) -> int:
        """Return how many sessions exist, over all replicas; those that expired may count for a little longer."""
        ...


def life(holder: str) -> str:
    """Return the name of the lease that says a replica lives."""
    return f"life/{holder}"


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
    """The events legacy clients may ask for again, and the calls that streams of theirs still have to answer."""

    async def append(
        self, session: str, stream: str, data: bytes, *, epoch: int, call: bytes | None = None, is_last: bool = False
    ) -> str:
        """Store one event at the end of a stream and return its id, `<stream>.<sequence>`, rising within the session.

        Empty `data` makes a priming event. `call` notes what the stream has to answer, until an event is its last.
        Raises Fenced where `epoch` is not the session's epoch any more, or the session is gone.
        """
        ...

    async def after(self, session: str, event_id: str) -> Tail | None:
        """Return what followed `event_id` on its own stream of this session, None where that event is not known.

        Never returns events of another stream or another session (MCP 2025-11-25, Resumability and Redelivery).
        """
        ...

    async def unanswered(self, session: str) -> Mapping[str, bytes]:
        """Return the notes of calls whose streams have not had their last event, by stream."""
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


class Verdict(msgspec.Struct, frozen=True):
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
    """How often something was used lately."""

    async def hit(self, limits: Sequence[Limit], *, cost: int = 1) -> Verdict:
        """Count `cost` uses under every limit, or under none, and say which.

        Counting and deciding are one atomic step over all limits, also across replicas. Sliding window, exact: no
        window holds more than its limit, wherever it begins; a refused use is not counted. Raises ValueError for no
        limits, and for a cost that no window could ever hold.
        """
        ...


class Mailbox(Protocol):
    """Letters between replicas: kept until they are fetched or expire, in order for one pair of replicas.

    Contents are sealed by whoever sends them; a mailbox knows none of them.
    """

    async def send(self, to: str, letters: Sequence[bytes], *, ttl_ms: int) -> None:
        """Put letters into a holder's box in order, all or none. Raises MailboxFull where it fetches too slowly."""
        ...

    async def receive(self, holder: str, *, wait_ms: int) -> Sequence[bytes]:
        """Return the letters that are there, waiting up to `wait_ms` for the first; each is returned once."""
        ...

    async def take_back(self, to: str, letter: bytes) -> bool:
        """Take a letter out of a box again; False where it was fetched, or is there no more for another reason."""
        ...

    async def drop(self, holder: str) -> None:
        """Throw the box away; for a holder that ends."""
        ...


class News(Protocol):
    """What every replica hears: announcements in one order, kept for a while for those who were cut off."""

    async def publish(self, data: bytes) -> None:
        """Tell everybody, ourselves included."""
        ...

    async def receive(self, after: str | None, *, wait_ms: int) -> tuple[str, Sequence[bytes]]:
        """Return where we are and what was published since `after`; None begins now, waiting for nothing.

        Waits up to `wait_ms` where there is nothing. What was lost meanwhile, since too much came or the store was
        emptied, is not told: the place returned is then simply a later one.
        """
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """What the ledger knows of a call.

    `new`: it is the asker's to run. `running`: `owner` is at it. `done`: it ended with `outcome`. `conflict`: under
    this key another call was made (its digest differs). `token` fences what the runner writes.
    """

    status: Literal["new", "running", "done", "conflict"]
    token: int = 0
    owner: str = ""
    outcome: bytes | None = None


class Ledger(Protocol):
    """Which calls were made under which idempotency key, and how they ended. Keys are per principal, made by callers.

    At most `max_entries` are kept where the implementation keeps them in memory, for `ttl_ms` each.
    """

    async def begin(self, key: str, digest: str, owner: str, *, ttl_ms: int) -> Entry:
        """Claim the key for a call, or say what became of the call that has it."""
        ...

    async def retake(self, key: str, digest: str, owner: str, *, token: int, ttl_ms: int) -> Entry:
        """Claim a key whose runner, holding `token`, was lost: `new` with another token, or what it is meanwhile."""
        ...

    async def finish(self, key: str, outcome: bytes, *, token: int, ttl_ms: int) -> bool:
        """Store how the call ended; False where `token` holds the key no more: then it is not for us to say."""
        ...

    async def forget(self, key: str, *, token: int) -> bool:
        """Free the key of a call that was refused before it ran; False as in `finish`."""
        ...
