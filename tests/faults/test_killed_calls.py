"""`kill -9` while modern calls are in flight: with a key none has its effect twice, without one each ends cleanly.

Row C4 of the reliability bar; `SOAK_KILLS=1000` is the whole of it, and `-s` shows how far it is.
"""

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import pytest

from tests.faults.killing import Kills, Runs, killing, times
from tests.faults.reissuing import End, Made, Tool, make
from tests.faults.replicas import replicas
from tests.faults.server_killed import DONE
from tests.faults.wire import Connections

KILLS: Final = int(os.environ.get("SOAK_KILLS", "8"))
CALLERS: Final = 16
READY: Final = 2
"""So many replicas are ready when one of them is killed: one may still be starting, one is left."""
QUIET: Final = {"LOG_LEVEL": "warning"}
TOOLS: Final[Sequence[Tool]] = ("read", "effect", "effect_idempotent", "effect_keyed")
ONCE: Final[Sequence[Tool]] = ("read", "effect_idempotent", "effect_keyed")
"""With a key, these are made exactly once."""
_SHOWN: Final = 25

pytestmark = [pytest.mark.anyio, pytest.mark.timing, pytest.mark.timeout(60 + 10 * KILLS)]


@dataclass
class Report:
    """What came of it. `wrong` says in words what must not be; `ends` by tool and whether there was a key."""

    ends: Counter[tuple[Tool, bool, End]] = field(default_factory=Counter[tuple[Tool, bool, End]])
    made: list[Made] = field(default_factory=list[Made])
    in_flight: int = 0
    again: int = 0
    settled: list[float] = field(default_factory=list[float])
    wrong: list[str] = field(default_factory=list[str])

    def add(self, made: Made) -> None:
        """Count one call that is over."""
        self.made.append(made)
        self.ends[made.tool, made.is_keyed, made.end] += 1
        self.again += made.sent - 1
        if made.settled_s is not None and made.is_keyed:
            self.settled.append(made.settled_s)
        allowed: tuple[End, ...] = ("answered", "unknown", "broken", "refused")
        if made.is_keyed:
            allowed = ("answered",) if made.tool in ONCE else ("answered", "unknown")
        if made.end not in allowed:
            self.wrong.append(f"{made.tool} {made.id}, key {made.is_keyed}: ended {made.end}: {made.why}")

    def lines(self, kills: int, took_s: float) -> str:
        """Return the figures."""
        ends: dict[str, Counter[End]] = {}
        for (tool, is_keyed, end), count in self.ends.items():
            ends.setdefault(f"{tool} {'with' if is_keyed else 'without'} key", Counter())[end] += count
        told = [f"{what}: " + ", ".join(f"{end} {count}" for end, count in one.items()) for what, one in ends.items()]
        first = (
            f"{kills} kills in {took_s:.0f} s, {CALLERS} callers: {len(self.made)} calls, {self.in_flight} of them in"
            f" flight when their replica was killed; sent again {self.again}, wrong {len(self.wrong)}"
        )
        last = times("with a key, from a kill to the outcome", self.settled)
        return "\n  ".join([first, *sorted(told), last, *self.wrong[-5:]])


async def test_calls_with_a_key_are_not_made_twice_and_others_end_cleanly() -> None:
    """A run of a tool that may be run again is no second effect: what it does a second time is what is there."""
    report, began = Report(), time.monotonic()
    async with (
        replicas(3, server="tests/faults/server_killed.py:app", proxy="roundrobin", environment=QUIET) as cluster,
        killing(cluster) as kills,
    ):
        way, ended, open_calls = Connections(cluster.port), asyncio.Event(), dict[str, Made]()
        async with asyncio.TaskGroup() as group:
            for number in range(CALLERS):
                group.create_task(_press(way, number, kills, report, open_calls, ended))
            await _kill(kills, open_calls, Runs(cluster.effects), report)
            ended.set()
        way.close()
        runs: dict[Tool, Counter[str]] = {tool: cluster.effects.counts(tool) for tool in TOOLS}
        done = cluster.effects.file.parent.glob(f"*{DONE}*")
        runs["effect_keyed"] = Counter(file.name.partition(DONE)[2] for file in done)
        tracebacks = cluster.tracebacks()
    twice = [f"{made.tool} {made.id}" for made in report.made if _effects(made, runs) > 1]
    undone = [made.id for made in report.made if made.end == "answered" and not _effects(made, runs)]
    print(report.lines(kills.count, time.monotonic() - began), file=sys.stderr)
    print(f"  effects twice {len(twice)}, answered without an effect {len(undone)}", file=sys.stderr, flush=True)
    assert report.wrong == []
    assert twice == []
    assert undone == []
    assert tracebacks == []
    assert report.in_flight >= kills.count


def _effects(made: Made, runs: Mapping[Tool, Counter[str]]) -> int:
    """Return how often a call had its effect; one that may be run again with a key has it once, however often."""
    count = runs[made.tool][made.id]
    return min(1, count) if made.is_keyed and made.tool in ("read", "effect_idempotent") else count


async def _press(
    way: Connections, number: int, kills: Kills, report: Report, open_calls: dict[str, Made], ended: asyncio.Event
) -> None:
    """Make one call after another; the key-aware tool always with a key."""
    chance, calls = kills.chance, 0
    while not ended.is_set():
        calls += 1
        tool = chance.choice(TOOLS)
        is_keyed = tool == "effect_keyed" or chance.random() < 0.6
        made = Made(f"k{number}-{calls}", tool, is_keyed, chance.uniform(0.02, 1.0), chance.choice((0, 0, 4)))
        open_calls[made.id] = made
        await make(way, made)
        del open_calls[made.id]
        report.add(made)


async def _kill(kills: Kills, open_calls: Mapping[str, Made], runs: Runs, report: Report) -> None:
    """Kill replicas on which calls are in flight until all kills are done."""
    began, shown = time.monotonic(), 0
    while kills.count < KILLS:
        await kills.several(READY)
        await asyncio.sleep(kills.chance.uniform(0.1, 0.6))  # so that kills fall anywhere in the calls
        where = runs.where()
        lives = {where.get(id) for id in open_calls}
        busy = [index for index in kills.ready() if kills.life(index) in lives]
        if not busy:
            continue
        index = kills.chance.choice(busy)
        for id, made in open_calls.items():
            if where.get(id) == kills.life(index):
                made.killed_at = asyncio.get_running_loop().time()
                report.in_flight += 1
        await kills.kill(index)
        if kills.count // _SHOWN > shown:
            shown = kills.count // _SHOWN
            print(report.lines(kills.count, time.monotonic() - began), file=sys.stderr, flush=True)
