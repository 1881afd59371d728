"""Who counts what happens between replicas."""

from collections.abc import Callable
from dataclasses import dataclass

from portside.observe.metrics import Relayed


@dataclass(frozen=True, slots=True)
class Tally:
    """Hears of every relayed request and every session that changed hands; nobody listens unless somebody is given.

    `relayed` hears how it ended, `taken_over` of a session that goes on here, `session_lost` of one that was ours.
    """

    relayed: Callable[[Relayed], None] = lambda _: None
    taken_over: Callable[[], None] = lambda: None
    session_lost: Callable[[], None] = lambda: None
