"""What a load is to send, and what came of it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.faults.calls import Call, Tool
from tests.faults.judge import Outcome, Verdict

MIXED: Final[Mapping[Tool, float]] = {
    "add": 0.4,
    "effect": 0.2,
    "effect_idempotent": 0.2,
    "slow": 0.1,
    "slow_read": 0.1,
}
"""A fifth of the calls are streams."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send: `rate` calls a second for `seconds`, of tools by `mix`, a share of them legacy, on `sessions`.

    A legacy stream that breaks is resumed for up to `patience_s`. With `is_keyed` every call carries an
    `Idempotency-Key`, and is sent again under it until it is answered or `patience_s` are over. Streams take up to
    `stream_s` in `steps`.
    """

    rate: float = 200.0
    seconds: float = 5.0
    mix: Mapping[Tool, float] = field(default_factory=lambda: MIXED)
    legacy: float = 0.5
    sessions: int = 20
    is_keyed: bool = False
    patience_s: float = 10.0
    timeout_s: float = 30.0
    stream_s: float = 3.0
    steps: int = 5
    seed: int = 11


@dataclass
class Report:
    """What came of a load. `verdicts` by call id; `lost_sessions` were answered 404 and opened anew."""

    verdicts: dict[str, Verdict] = field(default_factory=dict[str, Verdict])
    outcomes: Counter[Outcome] = field(default_factory=Counter[Outcome])
    tools: dict[str, Tool] = field(default_factory=dict[str, Tool])
    reasons: dict[Outcome, Counter[str]] = field(default_factory=dict[Outcome, Counter[str]])
    duplicates: int = 0
    missing: int = 0
    resumed: int = 0
    reissued: int = 0
    lost_sessions: int = 0
    slowest_s: float = 0.0
    cpu_s: float = 0.0
    wall_s: float = 0.0

    @property
    def failed(self) -> int:
        """How many calls were not answered with their result."""
        return self.outcomes.total() - self.outcomes[Outcome.OK]

    def ids(self, *outcomes: Outcome) -> set[str]:
        """Return the ids of the calls that ended so."""
        return {id for id, verdict in self.verdicts.items() if verdict.outcome in outcomes}

    def add(self, call: Call, verdict: Verdict, took_s: float) -> None:
        """Count one call."""
        self.verdicts[call.id] = verdict
        self.tools[call.id] = call.tool
        self.outcomes[verdict.outcome] += 1
        self.duplicates += verdict.duplicates
        self.missing += verdict.missing
        self.slowest_s = max(self.slowest_s, took_s)
        if verdict.outcome is not Outcome.OK:
            self.reasons.setdefault(verdict.outcome, Counter())[verdict.reason] += 1

    def __str__(self) -> str:
        counts = ", ".join(f"{outcome} {count}" for outcome, count in self.outcomes.most_common())
        lines = [f"{self.outcomes.total()} calls in {self.wall_s:.1f} s: {counts}"]
        lines.append(
            f"events twice {self.duplicates}, missing {self.missing}; resumed {self.resumed}, sent again"
            f" {self.reissued}, sessions lost {self.lost_sessions}; slowest {self.slowest_s:.2f} s,"
            f" {self.cpu_s / max(self.wall_s, 1e-9):.0%} of a core"
        )
        for outcome, reasons in self.reasons.items():
            lines += [f"  {outcome}: {count} x {reason}" for reason, count in reasons.most_common(5)]
        return "\n".join(lines)
