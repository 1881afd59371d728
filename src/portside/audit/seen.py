"""The hashes of a writer's rows as they were read, eight bytes each, and only the latest million.

What a log gives as a hash may be any text, since somebody may have changed it: it is remembered by Python's own hash.
"""

from array import array
from typing import Final

BLOCK: Final = 65_536
MAX_BLOCKS: Final = 16


class Seen:
    """Remembers rows by sequence, so that a repeated one is told from another version of it."""

    __slots__ = ("_blocks",)

    def __init__(self) -> None:
        self._blocks: list[tuple[int, array[int]]] = []

    def add(self, sequence: int, text: str) -> None:
        """Remember a row; a later one of the same sequence counts."""
        blocks = self._blocks
        if not blocks or blocks[-1][0] + len(blocks[-1][1]) != sequence or len(blocks[-1][1]) >= BLOCK:
            blocks.append((sequence, array("q")))
            if len(blocks) > MAX_BLOCKS:
                del blocks[0]
        blocks[-1][1].append(hash(text))

    def same(self, sequence: int, text: str) -> bool | None:
        """Say whether the row of that sequence had this hash; None where it is not remembered."""
        for first, hashes in reversed(self._blocks):
            if first <= sequence < first + len(hashes):
                return hashes[sequence - first] == hash(text)
        return None
