"""What a process holds in memory, and how that changes while it runs."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Footprint:
    """The anonymous memory of a process, KiB: what it has allocated itself, whatever else maps its libraries."""

    pid: int
    samples: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])

    def now_kib(self) -> int:
        """Return what it holds now."""
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Anonymous:"):
                return int(line.split()[1])
        raise ValueError(f"/proc/{self.pid}/smaps_rollup: expected a line 'Anonymous:'")

    async def sample(self, every_s: float) -> None:
        """Note it again and again, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self.samples.append((loop.time(), self.now_kib()))
            await asyncio.sleep(every_s)

    def per_hour(self, skipped: float = 0.5) -> float:
        """Return the slope of the samples as a share of their mean an hour, the first part of them left out."""
        kept = self.samples[int(len(self.samples) * skipped) :]
        return slope(kept) * 3600 / (sum(kib for _, kib in kept) / len(kept))


def slope(points: Sequence[tuple[float, int]]) -> float:
    """Return the slope of the straight line that fits best (least squares); of two points at least."""
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
