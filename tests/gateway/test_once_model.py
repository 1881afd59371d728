"""Calls with keys under kills, disconnects and a ledger that comes and goes, against a model of what was promised."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portside.clock import SystemClock
from portside.state.connect import memory_state
from portside.wire import refusal
from portside.wire.message import Message
from tests.gateway.shop import Replica, Shop, opened, told

REPLICAS: Final = 3
TOOLS: Final = ("buy", "read")
KEYS: Final = ("k0", "k1")

Step = tuple[str, int, int, int]
STEPS: Final = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "hold", "leave", "release", "kill", "cut", "mute", "mend"]),
        st.integers(0, REPLICAS - 1),
        st.integers(0, len(KEYS) - 1),
        st.integers(0, len(TOOLS) - 1),
    ),
    max_size=25,
)


@dataclass
class Story:
    """What was asked so far: key, tool and the answer to come."""

    shop: Shop
    replicas: list[Replica]
    asked: "list[tuple[str, str, asyncio.Task[Message]]]" = field(
        default_factory=list["tuple[str, str, asyncio.Task[Message]]"]
    )
    dead: set[int] = field(default_factory=set[int])

    async def take(self, step: Step) -> None:
        """Take one step, and let what runs go as far as it gets by itself."""
        what, number, key, tool = step
        one = self.replicas[number]
        if what in ("ask", "hold") and number not in self.dead:
            if what == "hold":
                self.shop.gate.clear()
            self.asked.append((KEYS[key], TOOLS[tool], one.ask(TOOLS[tool], {"hold": True}, key=KEYS[key])))
        elif what == "leave" and self.asked:
            self.asked[-1][2].cancel()
        elif what == "release":
            self.shop.gate.set()
        elif what == "kill" and len(self.dead) < REPLICAS - 1:
            self.dead.add(number)
            await one.kill()
        elif what in ("cut", "mute") and number not in self.dead:
            one.ledger.is_cut, one.ledger.is_mute = what == "cut", what == "mute"
        elif what == "mend" and number not in self.dead:
            one.ledger.is_cut = one.ledger.is_mute = False
        for _ in range(30):
            await asyncio.sleep(0)


async def play(steps: list[Step]) -> None:
    shop = Shop()
    async with memory_state(SystemClock()) as state, opened(shop, REPLICAS, state=state, call_timeout_s=5) as replicas:
        story = Story(shop, replicas)
        for step in steps:
            await story.take(step)
        shop.gate.set()
        for number, one in enumerate(replicas):
            if number not in story.dead:
                one.ledger.is_cut = one.ledger.is_mute = False
        async with asyncio.timeout(20):
            await asyncio.wait([task for _, _, task in story.asked] or [asyncio.ensure_future(asyncio.sleep(0))])
        check(story)


def check(story: Story) -> None:
    """Hold what happened to what is promised of each key."""
    told_by_key: dict[str, set[object]] = {}
    for key, tool, task in story.asked:
        if task.cancelled():
            continue
        answer = told(task.result())
        if isinstance(answer, str):
            assert answer.startswith(tool), "an answer of another call"
            told_by_key.setdefault(key, set()).add(answer)
        else:
            allowed = {refusal.KEY_REUSED, refusal.OUTCOME_UNKNOWN, refusal.STATE_AWAY, refusal.CALL_TIMED_OUT}
            assert answer in allowed
    bought = Counter(key for name, key in zip(story.shop.runs, story.shop.keys, strict=True) if name == "buy")
    assert all(times == 1 for times in bought.values()), "a call was made twice"
    for answers in told_by_key.values():
        assert len({answer for answer in answers if str(answer).startswith("buy")}) <= 1, "two outcomes of one call"


@settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_no_call_is_made_twice_whatever_happens(steps: list[Step]) -> None:
    asyncio.run(play(steps))


@pytest.mark.parametrize(
    "steps",
    [
        [("hold", 0, 0, 0), ("kill", 0, 0, 0), ("ask", 1, 0, 0)],
        [("mute", 0, 0, 0), ("ask", 0, 0, 0), ("mend", 0, 0, 0), ("ask", 0, 0, 0), ("ask", 1, 0, 0)],
        [("cut", 0, 0, 0), ("ask", 0, 0, 0), ("ask", 1, 0, 0), ("mend", 0, 0, 0), ("ask", 0, 0, 0)],
    ],
)
def test_stories_that_were_hard(steps: list[Step]) -> None:
    asyncio.run(play(steps))
