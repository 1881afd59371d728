"""How a fault proxy treats what passes through it."""

from dataclasses import dataclass
from typing import Literal

Towards = Literal["client", "server"]


@dataclass(frozen=True, slots=True)
class Pass:
    """Everything passes at once."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Nobody listens, as where a process has died; open connections are reset."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Connections are accepted and reset, open ones too."""


@dataclass(frozen=True, slots=True)
class BlackHole:
    """Connections are accepted, what comes is swallowed; those that lost something are reset when the mode ends."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing passes, ends of connections neither; all of it does, in order, when the mode ends: a healed partition.

    Connections are still accepted: only dropped packets can make connecting hang, see `tests.faults.partition`.
    """


@dataclass(frozen=True, slots=True)
class Delay:
    """What comes passes `ms` later, each way, in order and with no less throughput."""

    ms: float


@dataclass(frozen=True, slots=True)
class CutAfter:
    """A connection is reset once `bytes` have passed one way since the mode began, or since it was made.

    Unless `is_for_new`, connections made under the mode pass everything.
    """

    bytes: int
    towards: Towards = "client"
    is_for_new: bool = True


@dataclass(frozen=True, slots=True)
class Throttle:
    """Each way of each connection passes so many bytes a second, evenly."""

    bytes_per_s: float


Mode = Pass | Refuse | Reset | BlackHole | Hold | Delay | CutAfter | Throttle
