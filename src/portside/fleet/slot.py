"""A place for one replica: what is there, and what became of what was there before. Values only."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

LOOPING: Final = 3
"""Failures in a row from which on it is called a crash loop."""


class Phase(StrEnum):
    """Where a slot is in the life of its replica."""

    EMPTY = "empty"
    STARTING = "starting"
    SERVING = "serving"
    LEAVING = "leaving"
    """Out of the proxy; what was on its way still arrives."""
    ENDING = "ending"
    """Told to stop; it finishes what it has."""
    WAITING = "waiting"
    """Failed; started again later."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One slot as the supervisor remembers it. Times are the clock's, monotonic, in seconds.

    `generation`: that of its replica. `failures`: in a row. `is_in`: whether the proxy sends it requests.
    `kill_at`: when SIGTERM has had its time. `failed`: why the last replica that failed did.
    """

    number: int
    port: int
    phase: Phase = Phase.EMPTY
    since: float = 0.0
    generation: int = 0
    failures: int = 0
    restarts: int = 0
    not_before: float = 0.0
    kill_at: float | None = None
    is_in: bool = False
    failed: str = ""

    @property
    def name(self) -> str:
        """Return the replica's name, in logs and in the proxy."""
        return f"server-{self.number}"

    @property
    def is_looping(self) -> bool:
        """Say whether it ends again and again."""
        return self.failures >= LOOPING and self.phase in (Phase.STARTING, Phase.WAITING)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a slot's replica a moment ago.

    `is_ready`: what `/ready` said last, False where it did not answer. `silent_s`: how long it has not answered at
    all. `is_quiet`: nothing that the proxy sent waits to be accepted. `ended`: how it ended, in words.
    """

    is_alive: bool
    is_ready: bool = False
    silent_s: float = 0.0
    is_quiet: bool = False
    ended: str = "ended"
