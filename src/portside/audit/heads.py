"""What writers say of one another, held against what there is: a row they saw must be there, and be the same."""

import math
from collections.abc import Mapping
from typing import Final

from portside.audit.finding import Finding, Kind, Report
from portside.audit.track import Claim, Track

SKEW_US: Final = 5_000_000
"""How far the clocks of two replicas may lie apart."""


class Heads:
    """The claims of signed rows, and of checkpoints kept elsewhere, about rows of others."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._early: dict[str, dict[int, Claim]] = {}

    def expect(self, tracks: Mapping[str, Track], writer: str, sequence: int, claim: Claim) -> None:
        """Compare a claim with a row already read, or keep it until that is."""
        track = tracks.get(writer)
        if track is None:
            self._early.setdefault(writer, {})[sequence] = claim
        elif sequence > track.sequence:
            track.expected[sequence] = claim
        else:
            self._compare(track, sequence, track.same(sequence, claim.hash), claim.by)

    def adopt(self, track: Track) -> None:
        """Hand a track that begins what was claimed about it before."""
        track.expected.update(self._early.pop(track.writer, {}))

    def reached(self, track: Track, sequence: int, hash: str) -> None:
        """Compare the row just read with what was claimed of it."""
        claim = track.expected.pop(sequence)
        self._compare(track, sequence, claim.hash == hash, claim.by)

    def finish(self, tracks: Mapping[str, Track], as_of_us: int | None) -> None:
        """Find what was claimed and never read.

        What was seen after the log was read or copied cannot be in it, and is passed over.
        """
        until_us = math.inf if as_of_us is None else as_of_us - SKEW_US
        for writer, claims in self._early.items():
            if last := _latest(claims, 0, until_us):
                text = f"no rows of this writer; {claims[last].by} saw {last}"
                self._find(writer, "missing", 1, last, 0, text)
        for track in tracks.values():
            if last := _latest(track.expected, track.sequence, until_us):
                text = f"ends at {track.sequence}; {track.expected[last].by} saw {last}"
                self._find(track.writer, "cut", track.sequence + 1, last, min(track.signed, track.sequence), text)

    def explain(self, tracks: Mapping[str, Track], track: Track, silence_us: int) -> bool:
        """Say whether another writer vouches that this one ended where its rows end."""
        for other in tracks.values():
            head = other.knows.get(track.writer)
            if other is track or head is None:
                continue
            if head.ended and head.sequence == track.sequence:
                return True
            if head.sequence <= track.sequence and other.looked_us - track.last_us > silence_us:
                return True
        return False

    def _compare(self, track: Track, sequence: int, same: bool | None, by: str) -> None:
        if same is None:
            self._report.heads_unchecked += 1
            return
        self._report.heads_compared += 1
        if not same:
            text = f"not the row that {by} saw"
            self._find(track.writer, "forked", sequence, sequence, min(track.signed, sequence - 1), text)

    def _find(self, writer: str, kind: Kind, first: int, last: int, after: int, text: str) -> None:
        self._report.find(Finding(writer, kind, first, last, after, text))


def _latest(claims: Mapping[int, Claim], after: int, until_us: float) -> int:
    """Return the highest sequence past `after` that was seen by then, 0 where there is none."""
    return max((one for one, claim in claims.items() if one > after and claim.time_us <= until_us), default=0)
