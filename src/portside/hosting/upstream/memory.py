"""What a legacy session was told, so that a new one can be told the same."""

from dataclasses import dataclass, field
from typing import Any, Self

from portside.wire.message import Message
from portside.wire.session import SessionRecord


@dataclass(slots=True)
class Remembered:
    """The handshake of a session and what it has set since. `initialize`: the client's own params."""

    initialize: dict[str, Any]
    is_initialized: bool = False
    log_level: str | None = None
    subscriptions: set[str] = field(default_factory=set[str])

    @classmethod
    def of(cls, record: SessionRecord) -> Self:
        """Return what is known of a session before its link has carried anything."""
        return cls(dict(record.initialize), record.is_initialized, record.log_level, set(record.subscriptions))

    def learn(self, done: Message) -> None:
        """Take note of a request that was answered with a result."""
        params = done.params or {}
        uri, level = params.get("uri"), params.get("level")
        if done.method == "logging/setLevel" and isinstance(level, str):
            self.log_level = level
        elif done.method == "resources/subscribe" and isinstance(uri, str):
            self.subscriptions.add(uri)
        elif done.method == "resources/unsubscribe" and isinstance(uri, str):
            self.subscriptions.discard(uri)

    def repeated(self) -> list[tuple[str, dict[str, Any]]]:
        """Return method and params of the requests that bring a new session to where this one was."""
        levels = [("logging/setLevel", {"level": self.log_level})] if self.log_level is not None else []
        return [*levels, *(("resources/subscribe", {"uri": uri}) for uri in sorted(self.subscriptions))]
