"""One limit over three replicas at ten times what it lets through: never more than it says, and all of it.

Row E3 of the reliability bar; SOAK_SECONDS=60 is the whole of it, a tenth of that is run otherwise.
"""

import asyncio
import os
import random
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pytest

from tests.faults.calls import Call, request
from tests.faults.replicas import replicas
from tests.faults.wire import Answer, Connections

SECONDS: Final = min(60.0, float(os.environ.get("SOAK_SECONDS", "6")))

pytestmark = [pytest.mark.anyio, pytest.mark.timing, pytest.mark.timeout(60 + SECONDS)]

WINDOWS: Final = 6
WINDOW_MS: Final = round(SECONDS * 1000 / WINDOWS)
WINDOW_S: Final = WINDOW_MS / 1000
RATE: Final = 500
MOST: Final = round(RATE * WINDOW_S / 10)


@dataclass(frozen=True, slots=True)
class Use:
    """One request: when it was sent, when its answer was there, and whether it was let through.

    It was counted at some time between the two, by a clock that is not ours.
    """

    sent: float
    received: float
    is_allowed: bool


async def test_three_replicas_let_through_what_one_limit_says_within_any_window() -> None:
    limit = {"RATE_LIMIT_MAX_REQUESTS": str(MOST), "RATE_LIMIT_WINDOW_MS": str(WINDOW_MS)}
    # This is about counting together, not about a machine that is too busy to ask: see tests/state for that.
    patient = {"PORTSIDE_REDIS_TIMEOUT_MS": "5000"}
    async with replicas(3, environment={**limit, **patient}) as cluster:
        uses = await offered(cluster.ports)
        assert "counted by each replica on its own" not in cluster.printed()
        assert cluster.tracebacks() == []
    allowed = [use for use in uses if use.is_allowed]
    most, least = fullest(allowed), emptiest(allowed, [use for use in uses if not use.is_allowed])
    print(f"{len(uses)} requests, {len(allowed)} let through of {ideal(uses)}; {least} to {most} of {MOST} in a window")
    assert len(uses) == round(RATE * SECONDS)
    assert most <= MOST
    assert least >= 0.999 * MOST
    assert len(allowed) >= 0.999 * ideal(uses)


async def offered(ports: Sequence[int]) -> Sequence[Use]:
    """Send requests at the rate, at times a little random, to the replicas in turn; return what became of them."""
    chance, loop = random.Random(3), asyncio.get_running_loop()
    ways = [Connections(port) for port in ports]
    uses: list[Use] = []

    async def use(number: int) -> None:
        sent = loop.time()
        call = Call(number, f"use-{number}", "add")
        answer = await ways[number % len(ways)].ask(request(call, None), timeout_s=30)
        assert answer is not None
        uses.append(Use(sent, loop.time(), is_allowed(answer)))

    try:
        began = loop.time()
        async with asyncio.TaskGroup() as group:
            for number in range(round(RATE * SECONDS)):
                await asyncio.sleep(began + (number + chance.random()) / RATE - loop.time())
                group.create_task(use(number))
    finally:
        for way in ways:
            way.close()
    return uses


def is_allowed(answer: Answer) -> bool:
    """Say whether a request was let through; one that was not is told when to come again, within a window."""
    if answer.status == 429:
        assert 1 <= int(answer.headers["retry-after"]) <= WINDOW_S + 1
        return False
    assert answer.status == 200, answer
    return True


def fullest(allowed: Sequence[Use]) -> int:
    """Return the most uses that are sure to lie within one window, wherever it begins: more than the limit is wrong."""
    ordered = sorted(allowed, key=lambda use: use.sent)
    sent = [use.sent for use in ordered]
    most = 0
    for place, first in enumerate(ordered):
        end = first.sent + WINDOW_S
        within = ordered[place : bisect_left(sent, end)]
        most = max(most, sum(use.received < end for use in within))
    return most


def emptiest(allowed: Sequence[Use], refused: Sequence[Use]) -> int:
    """Return the fewest uses that a window can have held after which one was refused: fewer than the limit is wrong."""
    sent, received = sorted(use.sent for use in allowed), sorted(use.received for use in allowed)
    return min(bisect_right(sent, one.received) - bisect_right(received, one.sent - WINDOW_S) for one in refused)


def ideal(uses: Sequence[Use]) -> int:
    """Return how many a limiter that is exact would have let through."""
    kept: list[float] = []
    for use in sorted(uses, key=lambda one: one.sent):
        if len(kept) < MOST or kept[-MOST] <= use.sent - WINDOW_S:
            kept.append(use.sent)
    return len(kept)
