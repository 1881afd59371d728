"""What verification finds, and the report it ends in."""

from dataclasses import dataclass, field
from typing import Final, Literal

from portside.audit.chain import State

Kind = Literal[
    "altered",
    "unlinked",
    "missing",
    "repeated",
    "forked",
    "renumbered",
    "misplaced",
    "unreadable",
    "unsigned",
    "signature",
    "key",
    "cut",
]

MAX_FINDINGS: Final = 10_000


@dataclass(slots=True)
class Finding:
    """One thing that is wrong with a writer's rows `first` to `last`; `last` is None where nobody knows how far.

    `after` is the last row before that a signature vouches for: whatever was done was done behind it, and shows here.
    """

    writer: str
    kind: Kind
    first: int
    last: int | None
    after: int
    text: str

    def covers(self, sequence: int) -> bool:
        """Say whether a row lies in what this finding calls into question."""
        return self.after < sequence and (self.last is None or sequence <= self.last)


@dataclass(frozen=True, slots=True)
class WriterReport:
    """One writer's rows: how far they reach, how far signatures vouch for them, and how they end."""

    writer: str
    first: int
    last: int
    signed: int
    verified_until_us: int
    state: State


@dataclass(slots=True)
class Report:
    """The end of a verification. `notices` are no findings, but worth knowing; `more` findings were left out."""

    rows: int = 0
    verified: int = 0
    checkpoints: int = 0
    heads_compared: int = 0
    heads_unchecked: int = 0
    findings: list[Finding] = field(default_factory=list[Finding])
    notices: list[str] = field(default_factory=list[str])
    writers: list[WriterReport] = field(default_factory=list[WriterReport])
    more: int = 0

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found."""
        return not self.findings and not self.more

    @property
    def verified_until_us(self) -> int:
        """The time up to which every writer that has not stopped is vouched for, µs; 0 without any row."""
        live = [writer.verified_until_us for writer in self.writers if writer.state != "stop"]
        return min(live, default=max((writer.verified_until_us for writer in self.writers), default=0))

    def find(self, finding: Finding) -> None:
        """Add a finding; one that continues the last one makes that longer."""
        before = self.findings[-1] if self.findings else None
        if (
            before is not None
            and (before.writer, before.kind) == (finding.writer, finding.kind)
            and before.last is not None
            and before.last + 1 == finding.first
        ):
            before.last = finding.last
        elif len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)
        else:
            self.more += 1
