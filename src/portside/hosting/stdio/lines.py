"""Bytes into lines, with a cap: what is longer keeps its two ends only, so that it can be named."""

from collections import deque
from dataclasses import dataclass
from typing import Final

ENDS_BYTES: Final = 512
"""What is kept of either end of a line that is too long."""


@dataclass(frozen=True, slots=True)
class Oversized:
    """A line that was longer than the cap: its first and last 512 bytes, and how long it was."""

    head: bytes
    tail: bytes
    size: int


class Lines:
    """Takes bytes as they come and gives lines without their ends. Holds no more than the cap and one piece.

    Empty lines are left out. `max_bytes` is without the line's end.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._whole: deque[bytes | Oversized] = deque()
        self._parts: list[bytes] = []
        self._size = 0
        self._head: bytes | None = None
        self._tail = b""

    def __len__(self) -> int:
        return len(self._whole)

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        first, *rest = data.split(b"\n")
        self._grow(first)
        for part in rest:
            self._end()
            self._grow(part)

    def finish(self) -> None:
        """Take what came last as a line, though its end is missing."""
        self._end()

    def take(self) -> bytes | Oversized | None:
        """Return the next line, None where there is none yet."""
        return self._whole.popleft() if self._whole else None

    def _grow(self, part: bytes) -> None:
        if not part:
            return
        self._size += len(part)
        if self._head is not None:
            self._tail = (self._tail + part)[-ENDS_BYTES:]
            return
        self._parts.append(part)
        if self._size > self._max_bytes:
            joined = b"".join(self._parts)
            self._parts.clear()
            self._head, self._tail = joined[:ENDS_BYTES], joined[-ENDS_BYTES:]

    def _end(self) -> None:
        if self._head is not None:
            self._whole.append(Oversized(self._head, self._tail, self._size))
        elif self._parts:
            line = b"".join(self._parts) if len(self._parts) > 1 else self._parts[0]
            if line := line.removesuffix(b"\r"):
                self._whole.append(line)
        self._parts.clear()
        self._head, self._tail, self._size = None, b"", 0
