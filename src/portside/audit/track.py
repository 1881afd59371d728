"""Where verification stands in one writer's chain, and how it finds its way back after a row that does not fit."""

from collections.abc import Iterator
from typing import NamedTuple

from portside.audit import chain
from portside.audit.base import Stored
from portside.audit.chain import Head, State
from portside.audit.finding import Kind, WriterReport
from portside.audit.seen import Seen

Found = tuple[Kind, int, int, str]


class Claim(NamedTuple):
    """What somebody saw: the hash of a row, who saw it, and the time they said it, µs."""

    hash: str
    by: str
    time_us: int


class Track:
    """One writer's chain as read so far.

    `hash` is what the next row must follow from, None where the row before could not be read. `other` is what it may
    follow from instead: what the row before should have been, or a row out of its place. `expected` are hashes that
    others said rows to come have.
    """

    __slots__ = (
        "_other",
        "_run",
        "_seen",
        "_suspect",
        "expected",
        "first",
        "hash",
        "is_broken",
        "is_overdue",
        "knows",
        "last_us",
        "looked_us",
        "sequence",
        "signed",
        "signed_us",
        "state",
        "unsigned",
        "writer",
    )

    def __init__(self, writer: str) -> None:
        self.writer = writer
        self.first = 0
        self.sequence = 0
        self.hash: str | None = chain.genesis(writer).hash
        self._other: list[str] = []
        self._seen = Seen()
        self._run = 0
        self._suspect = False
        self.unsigned = 0
        self.signed = 0
        self.signed_us = 0
        self.last_us = 0
        self.looked_us = 0
        self.state: State = "start"
        self.is_broken = False
        self.is_overdue = False
        self.knows: dict[str, Head] = {}
        self.expected: dict[int, Claim] = {}

    def follows(self, row: Stored, sequence: int) -> bool:
        """Take a row that is exactly the next one; say whether it was."""
        if sequence != self.sequence + 1 or self.hash is None or chain.link(self.hash, row.entry) != row.hash:
            return False
        self._take(row, sequence)
        return True

    def resolve(self, row: Stored, sequence: int) -> Iterator[Found]:
        """Take any other row, and yield what is wrong with it: kind, first and last sequence, text."""
        was_suspect = self._suspect
        if self._links(row):
            if not was_suspect and sequence != self.sequence + 1:
                first, last = sorted((self.sequence + 1, sequence))
                yield "renumbered", first, last, f"{sequence} follows from {self.sequence}"
            elif sequence > self.sequence + 1:
                yield "missing", self.sequence + 1, sequence - 1, "no such rows"
            elif sequence <= self.sequence and (same := self._seen.same(sequence, row.hash)) is not None:
                yield self._again(row, sequence, same)
                return
            self._take(row, sequence)
            return
        self.is_broken = True
        if sequence == self.sequence + 1:
            if self.hash is None:
                yield (
                    "unlinked",
                    sequence,
                    sequence,
                    "what it follows from cannot be read, so its text is not vouched for",
                )
                self._take(row, sequence, suspect=True)
            else:
                yield "altered", sequence, sequence, "its hash is not that of its text and the row before"
                should_be = chain.link(self.hash, row.entry)
                self._take(row, sequence, suspect=True)
                self._other = [should_be]
        elif sequence > self.sequence + 1:
            yield "missing", self.sequence + 1, sequence - 1, "no such rows"
            yield "unlinked", sequence, sequence, "what it follows from is missing, so its text is not vouched for"
            self._take(row, sequence, suspect=True)
        else:
            yield self._again(row, sequence, self._seen.same(sequence, row.hash))

    def skip(self, hash: str | None) -> None:
        """Go past a row that cannot be read, whose hash may be known."""
        self.first = self.first or 1
        self.sequence += 1
        self.unsigned += 1
        self.hash = hash
        self._other = []
        self._run = 0
        self._suspect = self.is_broken = True

    def begin(self, sequence: int, hash: str) -> None:
        """Stand at an anchor."""
        self.first = self.first or sequence
        self.sequence = sequence
        self.hash = hash
        self._seen.add(sequence, hash)

    def vouched(self, sequence: int, time_us: int, state: State) -> int:
        """Note a good signature, and return how many more rows are vouched for by it."""
        run, self._run = self._run, 0
        self.signed, self.signed_us, self.state = sequence, time_us, state
        self.unsigned = 0
        self.is_broken = self.is_overdue = False
        return run

    def same(self, sequence: int, hash: str) -> bool | None:
        """Say whether the row of that sequence has this hash; None where it is not remembered."""
        return self._seen.same(sequence, hash)

    def report(self) -> WriterReport:
        """Return how far this writer's rows reach."""
        return WriterReport(self.writer, self.first, self.sequence, self.signed, self.signed_us, self.state)

    def _links(self, row: Stored) -> bool:
        candidates = self._other if self.hash is None else [self.hash, *self._other]
        return any(chain.link(hash, row.entry) == row.hash for hash in candidates)

    def _again(self, row: Stored, sequence: int, same: bool | None) -> Found:
        """Leave the track where it is: a row of a sequence that is behind us."""
        self.is_broken = self._suspect = True
        self._other = [row.hash]
        if same is False:
            return "forked", sequence, sequence, "another version of a row that was read before"
        text = "a row that was read before" if same else "a row out of its place"
        return "repeated", sequence, sequence, text

    def _take(self, row: Stored, sequence: int, *, suspect: bool = False) -> None:
        if not self.first:
            self.first = sequence
        self.sequence = sequence
        self.hash = row.hash
        self._other = []
        self._suspect = suspect
        self._run = 0 if suspect else self._run + 1
        self.unsigned += 1
        self._seen.add(sequence, row.hash)
