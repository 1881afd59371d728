"""The figures of one stretch of load as columns, the ratio of two sides, and a promise with its verdict."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from statistics import median

from load import Slice

Figure = Callable[[Slice], float]
COLUMNS: tuple[tuple[str, str, Figure], ...] = (
    ("CPU s/1000", "{:.4f}", attrgetter("cpu_s_per_1000")),
    ("calls/s", "{:.0f}", attrgetter("calls_per_s")),
    ("p50 ms", "{:.2f}", attrgetter("p50_ms")),
    ("p99 ms", "{:.2f}", attrgetter("p99_ms")),
    ("kernel s/1000", "{:.4f}", attrgetter("kernel_s_per_1000")),
    ("server busy", "{:.0%}", attrgetter("server_busy")),
    ("client busy", "{:.0%}", attrgetter("client_busy")),
)
RATIO_COLUMNS = 4
"""How many of the columns are worth a ratio."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """portside divided by a rival, round by round."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f}-{self.high:.3f})"


@dataclass(frozen=True, slots=True)
class Spread:
    """A difference in microseconds, round by round."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:+.1f} ({self.low:+.1f} to {self.high:+.1f})"


@dataclass(frozen=True, slots=True)
class Bar:
    """A promise and what was measured; smaller is better."""

    promise: str
    limit: float
    measured: float
    unit: str

    @property
    def is_met(self) -> bool:
        """Whether the measured figure is within the limit."""
        return self.measured <= self.limit


def ratio(ours: Sequence[Slice], theirs: Sequence[Slice], figure: Figure) -> Ratio:
    """Divide round by round; needs as many rounds of one as of the other, at least one."""
    quotients = [figure(mine) / figure(other) for mine, other in zip(ours, theirs, strict=True)]
    return Ratio(median(quotients), min(quotients), max(quotients))


def added_us(ours: Sequence[Slice], base: Sequence[Slice]) -> Spread:
    """Subtract CPU per call round by round, µs; needs as many rounds of one as of the other, at least one."""
    differences = [(mine.cpu_s_per_1000 - other.cpu_s_per_1000) * 1000 for mine, other in zip(ours, base, strict=True)]
    return Spread(median(differences), min(differences), max(differences))


def load_line(name: str, pieces: Sequence[Slice]) -> str:
    """Return one line of a table of COLUMNS: medians over the rounds."""
    return line(name, [form.format(median(map(figure, pieces))) for _, form, figure in COLUMNS])


def heading() -> str:
    """Return the first line of a table of COLUMNS."""
    return line("", [name for name, _, _ in COLUMNS])


def ratio_lines(rival: str, ours: Sequence[Slice], theirs: Sequence[Slice]) -> list[str]:
    """Return the ratios of portside to a rival for the columns that are worth one."""
    lines = [f"  portside : {rival}, median (lowest-highest round)"]
    return lines + [f"    {name:<12}{ratio(ours, theirs, figure)}" for name, _, figure in COLUMNS[:RATIO_COLUMNS]]


def ratio_document(ours: Sequence[Slice], theirs: Sequence[Slice]) -> dict[str, dict[str, float]]:
    """Return the same ratios for a JSON document."""
    return {name: asdict(ratio(ours, theirs, figure)) for name, _, figure in COLUMNS[:RATIO_COLUMNS]}


def rounds_document(pieces: Sequence[Slice]) -> list[dict[str, float]]:
    """Return the slices of one row for a JSON document, with the figures that follow from the others."""
    names = ("cpu_s_per_1000", "kernel_s_per_1000", "calls_per_s", "server_busy", "client_busy")
    return [asdict(piece) | {name: getattr(piece, name) for name in names} for piece in pieces]


def line(name: str, cells: Sequence[str]) -> str:
    """Return one line of a table."""
    return f"  {name:<14}" + "".join(f"{cell:>15}" for cell in cells)


def bar_line(bar: Bar) -> str:
    """Return one promise with its verdict."""
    unit = f" {bar.unit}" if bar.unit else ""
    verdict = "met" if bar.is_met else "MISSED"
    return f"  {verdict:<8}{bar.promise}: {bar.measured:.3f}{unit}, at most {bar.limit:g}{unit}"
