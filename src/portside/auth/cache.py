"""A bounded memory of verdicts, by digest: the token itself is kept nowhere."""

import hashlib
from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


def digest_of(token: str) -> bytes:
    """Return the SHA-256 of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class Cache(Generic[T]):
    """Keeps the `limit` entries used last. Whether an entry still holds is for its owner to judge."""

    __slots__ = ("_entries", "_limit")

    def __init__(self, limit: int) -> None:
        self._entries: OrderedDict[bytes, T] = OrderedDict()
        self._limit = limit

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, digest: bytes) -> T | None:
        """Return what is kept, None if nothing is."""
        entry = self._entries.get(digest)
        if entry is not None:
            self._entries.move_to_end(digest)
        return entry

    def put(self, digest: bytes, entry: T) -> None:
        """Keep an entry, and forget the one unused for the longest time if there are too many."""
        self._entries[digest] = entry
        self._entries.move_to_end(digest)
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def drop(self, digest: bytes) -> None:
        """Forget an entry; one that is not there is no error."""
        self._entries.pop(digest, None)
