"""Whose a session is, as far as this replica knows."""

import hashlib
from collections.abc import Callable


def hashed(session_id: str) -> str:
    """Return what logs and metrics may know of a session id."""
    return hashlib.sha256(session_id.encode()).hexdigest()[:12]


class Ownership:
    """One session that is ours, in the epoch that began when it became so; `lose` says that it is somebody else's now.

    `vouched` is the token of the life of ours in which shared state last said that the session is ours.
    """

    __slots__ = ("_on_lost", "epoch", "is_lost", "session", "vouched")

    def __init__(self, session: str, epoch: int, vouched: int | None, on_lost: Callable[[], None]) -> None:
        self.session = session
        self.epoch = epoch
        self.vouched = vouched
        self.is_lost = False
        self._on_lost = on_lost

    def lose(self) -> None:
        """Say once that the session is not ours any more."""
        if not self.is_lost:
            self.is_lost = True
            self._on_lost()
