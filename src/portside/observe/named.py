"""A counter one of whose labels is a client's word, kept from filling the memory."""

from collections.abc import Callable
from typing import Final

from prometheus_client import Counter

MAX_NAME: Final = 128
"""How long a word may be (characters)."""


class Named:
    """A counter whose first label is a client's word: a word becomes a value once a call with it succeeded.

    Until then it counts as `unknown`, so that nobody fills the memory with names that do not exist; past `limit`
    values, or where it is no fit label, as `other`.
    """

    def __init__(self, counter: Counter, *, limit: int) -> None:
        self._counter = counter
        self._limit = limit
        self._admitted: set[str] = set()
        self._increments: dict[tuple[str, str], Callable[[], None]] = {}

    def count(self, name: str, status: str) -> None:
        """Count one call with this word and its outcome."""
        increment = self._increments.get((name, status))
        if increment is None:
            increment = self._increment(self._label(name, status), status)
        increment()

    def _label(self, name: str, status: str) -> str:
        if name in self._admitted:
            return name
        if status != "ok":
            return "unknown"
        # A lone surrogate is not printable either, and would make every later scrape fail.
        if len(self._admitted) >= self._limit or len(name) > MAX_NAME or not name.isprintable():
            return "other"
        self._admitted.add(name)
        return name

    def _increment(self, label: str, status: str) -> Callable[[], None]:
        increment = self._increments.get((label, status))
        if increment is None:
            increment = self._increments[(label, status)] = self._counter.labels(label, status).inc
        return increment
