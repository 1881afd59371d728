"""Answers of a foreign server kept for as long, and for whom, the server itself said (MCP 2026-07-28, Caching)."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import msgspec

from portside.clock import Clock
from portside.wire.message import Message

CHANGED_BY: Final[Mapping[str, str | None]] = MappingProxyType(
    {
        "prompts/list": "notifications/prompts/list_changed",
        "resources/list": "notifications/resources/list_changed",
        "resources/templates/list": "notifications/resources/list_changed",
        "server/discover": None,
        "tools/list": "notifications/tools/list_changed",
    }
)
"""The methods whose answers are kept, and the announcement that ends it. What a resource holds is never kept."""

MAX_ENTRIES: Final = 1000
MAX_BYTES: Final = 16 * 1024 * 1024
MAX_TTL_MS: Final = 24 * 60 * 60 * 1000

_RETRY: Final = frozenset({"inputResponses", "requestState"})


@dataclass(frozen=True, slots=True)
class _Entry:
    result: dict[str, Any]
    until: float
    size: int


class Kept:
    """What is kept, within a number of entries and of bytes; the oldest goes first.

    `public` answers serve everybody, `private` ones their own principal; without a principal nobody can be told from
    anybody else, so private answers are not kept then.
    """

    def __init__(self, clock: Clock, *, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self._clock = clock
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: dict[tuple[bytes, str | None], _Entry] = {}
        self._bytes = 0
        self._changes: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """How many bytes the kept answers have, as JSON."""
        return self._bytes

    def find(self, asked: Message, principal: str | None) -> dict[str, Any] | None:
        """Return a kept result that is still fresh, its `ttlMs` what is left of it."""
        key = _key(asked)
        if key is None:
            return None
        now = self._clock.monotonic()
        for owner in (None, principal) if principal is not None else (None,):
            entry = self._entries.get((key, owner))
            if entry is None:
                continue
            left_ms = int((entry.until - now) * 1000)
            if left_ms > 0:
                return {**entry.result, "ttlMs": left_ms}
            self._drop((key, owner))
        return None

    def changes(self, method: str) -> int:
        """Return how often what this method lists was announced as changed; ask before the request, tell `keep`."""
        return self._changes.get(CHANGED_BY.get(method) or "", 0)

    def keep(self, asked: Message, principal: str | None, result: dict[str, Any], *, changes: int) -> None:
        """Keep a result where its own hints allow it, unless it was announced as changed since `changes` was read."""
        key, ttl_ms, scope = _key(asked), result.get("ttlMs"), result.get("cacheScope")
        if key is None or result.get("resultType", "complete") != "complete" or changes != self.changes(asked.method):
            return
        if not isinstance(ttl_ms, int | float) or isinstance(ttl_ms, bool) or ttl_ms <= 0:
            return
        if scope != "public" and (scope != "private" or principal is None):
            return
        size = len(msgspec.json.encode(result))
        if size > self._max_bytes:
            return
        place = (key, None if scope == "public" else principal)
        self._drop(place)
        while self._entries and (len(self._entries) >= self._max_entries or self._bytes + size > self._max_bytes):
            self._drop(next(iter(self._entries)))
        self._entries[place] = _Entry(result, self._clock.monotonic() + min(ttl_ms, MAX_TTL_MS) / 1000, size)
        self._bytes += size

    def hear(self, told: Message) -> None:
        """Drop what an announcement says has changed."""
        stale = [method for method, change in CHANGED_BY.items() if change == told.method]
        if not stale:
            return
        self._changes[told.method] = self._changes.get(told.method, 0) + 1
        prefixes = tuple(_prefix(method) for method in stale)
        for place in [place for place in self._entries if place[0].startswith(prefixes)]:
            self._drop(place)

    def _drop(self, place: tuple[bytes, str | None]) -> None:
        entry = self._entries.pop(place, None)
        if entry is not None:
            self._bytes -= entry.size


def _key(asked: Message) -> bytes | None:
    """Return method and params without `_meta`; None for what is never kept."""
    params = asked.params or {}
    if asked.method not in CHANGED_BY or not _RETRY.isdisjoint(params):
        return None
    rest = {name: value for name, value in params.items() if name != "_meta"}
    return _prefix(asked.method) + msgspec.json.encode(rest, order="sorted")


def _prefix(method: str) -> bytes:
    return method.encode() + b" "
