"""What a legacy session is, on paper: what the handshake settled."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What a legacy session is, apart from the process that serves it.

    `initialize` holds the client's handshake parameters, so that another replica can repeat the handshake.
    `principal` is whoever opened it, None where nobody authenticates. Times are seconds since the epoch.
    """

    id: str
    revision: str
    initialize: dict[str, Any]
    principal: str | None
    created: float
    is_initialized: bool = False
    log_level: str | None = None
    subscriptions: frozenset[str] = field(default_factory=frozenset[str])
