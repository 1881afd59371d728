"""Who asks a sick Redis, and how often."""

import asyncio

import anyio
import pytest

from portside.errors import StateUnavailable
from portside.state.redis.circuit import Circuit

pytestmark = pytest.mark.anyio


class Sick:
    """Something that is asked whether it is back, and is after a number of times."""

    def __init__(self, times: int) -> None:
        self.asked = 0
        self.well = asyncio.Event()
        self._times = times

    async def probe(self) -> None:
        self.asked += 1
        if self.asked <= self._times:
            raise StateUnavailable("still sick")
        self.well.set()


async def test_one_asks_until_it_is_well_while_everybody_else_is_refused() -> None:
    sick = Sick(2)
    circuit = Circuit("redis://test", sick.probe)
    for _ in range(100):
        circuit.trip("fell ill", 0)
    with pytest.raises(StateUnavailable, match="fell ill"):
        circuit.check()
    with anyio.fail_after(5):
        await sick.well.wait()
        await asyncio.sleep(0)
    assert (circuit.check(), sick.asked) == (1, 3)
    await circuit.close()


async def test_what_failed_before_it_was_well_says_nothing_of_now() -> None:
    sick = Sick(0)
    circuit = Circuit("redis://test", sick.probe)
    begun = circuit.check()
    circuit.trip("fell ill", begun)
    with anyio.fail_after(5):
        await sick.well.wait()
        await asyncio.sleep(0)
    circuit.trip("a late answer", begun)
    assert circuit.check() == begun + 1
    await circuit.close()
