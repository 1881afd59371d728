"""Verification, pure: rows in, findings out. Needs the pinned public keys and nothing else.

What is trusted is the pinned keys alone. A row's hash is made from the bytes as they were kept, nothing is encoded
again; a signature vouches for every row that links up to it.
"""

from collections.abc import Iterable
from typing import Final

from portside.audit import chain
from portside.audit.base import Stored, Unreadable
from portside.audit.chain import Anchor, Entry, Head, Seal
from portside.audit.finding import Finding, Kind, Report
from portside.audit.heads import SKEW_US, Heads
from portside.audit.keys import Trust
from portside.audit.track import Claim, Track

SILENCE_US: Final = 75_000_000
"""A living writer signs every 60 s; this much without a signature at the end of a log wants an explanation."""


class Verification:
    """One pass over a log: `witness` what was shipped, `feed` every row in order of writer and sequence, `finish`."""

    def __init__(self, pinned: Iterable[bytes]) -> None:
        self.report = Report()
        self._trust = Trust(pinned)
        self._tracks: dict[str, Track] = {}
        self._heads = Heads(self.report)
        self._current = ""

    @property
    def trust(self) -> Trust:
        """The keys that count so far: the pinned ones and those handed over to."""
        return self._trust

    def witness(self, row: Stored) -> bool:
        """Expect a checkpoint that was kept elsewhere to be in the log; say whether its signature is good."""
        try:
            entry = chain.decode(row.entry)
        except chain.DecodeError:
            return self._doubt("a shipped checkpoint is no entry")
        seal = entry.seal
        if seal is not None:
            self._trust.extend(seal.handovers)
        if seal is None or not self._trust.knows(row.key or ""):
            return self._doubt(f"a shipped checkpoint is signed by {row.key}, which is not pinned")
        if not self._trust.is_sealed(row) or chain.link(seal.head, row.entry) != row.hash:
            return self._doubt(f"a shipped checkpoint of {entry.writer} was changed since it was signed")
        # It was shipped once it was in the log, so there is no question of anybody's clock.
        claim = Claim(row.hash, "a shipped checkpoint", entry.time - SKEW_US)
        self._heads.expect(self._tracks, entry.writer, entry.sequence, claim)
        return True

    def feed(self, row: Stored | Unreadable) -> None:
        """Take the next row."""
        if isinstance(row, Unreadable):
            self._unreadable(row)
            return
        self.report.rows += 1
        try:
            entry = chain.decode(row.entry)
        except chain.DecodeError as error:
            self._unreadable(Unreadable(f"row {self.report.rows}", f"no entry: {error}", row.writer), row.hash)
            return
        writer = row.writer or entry.writer
        track = self._tracks.get(writer) or self._begun(writer)
        self._current = writer
        if entry.writer != writer:
            self._find(track, "misplaced", track.sequence + 1, text=f"a row of {entry.writer} is kept here")
        if row.sequence and row.sequence != entry.sequence:
            self._find(track, "misplaced", row.sequence, text=f"kept at {row.sequence}, its text says {entry.sequence}")
        if entry.v > chain.VERSION:
            self._find(track, "unreadable", entry.sequence, text=f"version {entry.v}; expected at most {chain.VERSION}")
        if entry.anchor is not None:
            self._anchor(track, row, entry, entry.anchor)
        else:
            self._row(track, row, entry)

    def finish(self, *, as_of_us: int | None = None) -> Report:
        """Return the report. `as_of_us` is when reading or copying the log began: with it, an early end is found.

        What others saw later than that is passed over, so that a log may be read while it is written.
        """
        self._heads.finish(self._tracks, as_of_us)
        for track in self._tracks.values():
            self._end(track, as_of_us)
            self.report.writers.append(track.report())
        return self.report

    def _doubt(self, notice: str) -> bool:
        self.report.notices.append(f"{notice}; it counts for nothing")
        return False

    def _begun(self, writer: str) -> Track:
        track = self._tracks[writer] = Track(writer)
        self._heads.adopt(track)
        return track

    def _row(self, track: Track, row: Stored, entry: Entry) -> None:
        if not track.follows(row, entry.sequence):
            for kind, first, last, text in track.resolve(row, entry.sequence):
                self._find(track, kind, first, last, text)
        if track.expected and entry.sequence in track.expected:
            self._heads.reached(track, entry.sequence, row.hash)
        track.last_us = entry.time
        if row.key is not None:
            self._signed(track, row, entry)
        elif entry.seal is not None:
            self._find(track, "unsigned", entry.sequence, text="a checkpoint has lost its signature")
        elif track.unsigned > chain.MAX_UNSIGNED and not track.is_overdue:
            track.is_overdue = True
            self._find(
                track, "unsigned", entry.sequence, text=f"more than {chain.MAX_UNSIGNED} rows without a signature"
            )
        elif entry.sequence == 1:
            self._find(track, "unsigned", 1, text="the first row has no signature")

    def _signed(self, track: Track, row: Stored, entry: Entry) -> None:
        seal = entry.seal
        if seal is None:
            self._find(track, "signature", entry.sequence, text="a signature on a row that is no checkpoint")
            return
        self._trust.extend(seal.handovers)
        if not self._is_trusted(track, row, entry):
            return
        if not self._trust.is_sealed(row):
            self._find(track, "signature", entry.sequence, text="the signature is not that of its key over this chain")
            track.is_broken = True
            return
        if not track.is_broken and (seal.previous.sequence if seal.previous else 0) != track.signed:
            self._find(track, "unsigned", entry.sequence, text="signed rows before it are not the ones it names")
        self._vouch(track, entry, seal)

    def _vouch(self, track: Track, entry: Entry, seal: Seal) -> None:
        self.report.checkpoints += 1
        self.report.verified += track.vouched(entry.sequence, entry.time, seal.state)
        if seal.heads is not None:
            track.looked_us = entry.time
            self._hear(track, seal.heads, entry.time)

    def _hear(self, track: Track, heads: Iterable[Head], time_us: int) -> None:
        for head in heads:
            track.knows[head.writer] = head
            self._heads.expect(self._tracks, head.writer, head.sequence, Claim(head.hash, track.writer, time_us))

    def _anchor(self, track: Track, row: Stored, entry: Entry, anchor: Anchor) -> None:
        # A prune that was cut off leaves rows before its anchor; they must lead up to it.
        if track.first and not (entry.sequence == track.sequence + 1 and not track.is_broken):
            self._find(track, "misplaced", entry.sequence, text="an anchor of pruned rows in the midst of others")
        self._trust.extend(anchor.handovers)
        is_trusted = self._is_trusted(track, row, entry)
        if is_trusted and (anchor.hash != row.hash or not self._trust.is_anchored(row)):
            self._find(track, "signature", entry.sequence, text="the anchor of pruned rows is not signed by its key")
            is_trusted = False
        track.begin(entry.sequence, row.hash)
        track.last_us = entry.time
        if entry.sequence in track.expected:
            self._heads.reached(track, entry.sequence, row.hash)
        if is_trusted:
            track.vouched(entry.sequence, entry.time, anchor.state)
            self._hear(track, anchor.heads, entry.time)
            self.report.notices.append(f"{track.writer}: pruned up to {entry.sequence}")

    def _is_trusted(self, track: Track, row: Stored, entry: Entry) -> bool:
        if self._trust.knows(row.key or ""):
            return True
        self._find(track, "key", entry.sequence, text=f"signed by key {row.key!r}, which is not pinned")
        track.is_broken = True
        return False

    def _unreadable(self, row: Unreadable, hash: str | None = None) -> None:
        writer = row.writer or self._current
        track = self._tracks.get(writer) or self._begun(writer)
        self._find(track, "unreadable", track.sequence + 1, text=f"{row.place}: {row.reason}")
        track.skip(hash)

    def _end(self, track: Track, as_of_us: int | None) -> None:
        if track.state == "stop":
            if track.sequence > track.signed:
                self._find(track, "unsigned", track.signed + 1, track.sequence, "rows after the stop")
            return
        overdue_us = track.last_us - track.signed_us
        if track.sequence > track.signed and overdue_us > SILENCE_US:
            text = f"{overdue_us / 1_000_000:.0f} s without a signature"
            self._find(track, "unsigned", track.signed + 1, track.sequence, text)
        if self._heads.explain(self._tracks, track, SILENCE_US):
            return
        text = "ends without a stop, and no other writer saw it end"
        if as_of_us is not None and as_of_us - track.signed_us > SILENCE_US:
            self._find(track, "cut", track.sequence + 1, None, f"{text}; the last signature is at {track.signed}")
        elif as_of_us is None or as_of_us - track.last_us > 0:
            self.report.notices.append(f"{track.writer}: {text}; rows after {track.sequence} may have been cut off")

    def _find(self, track: Track, kind: Kind, first: int, last: int | None = -1, text: str = "") -> None:
        last = first if last == -1 else last
        after = min(track.signed, first - 1)
        self.report.find(Finding(track.writer, kind, first, last, after, text))


def verify(
    rows: Iterable[Stored | Unreadable],
    pinned: Iterable[bytes],
    *,
    witnesses: Iterable[Stored] = (),
    as_of_us: int | None = None,
) -> Report:
    """Verify a whole log at once; see Verification. `witnesses` are checkpoints that were kept elsewhere."""
    verification = Verification(pinned)
    for row in witnesses:
        verification.witness(row)
    for row in rows:
        verification.feed(row)
    return verification.finish(as_of_us=as_of_us)
