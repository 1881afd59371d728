"""Replicas whose clocks are five minutes apart, each way, share one Redis: whatever has a time goes by Redis's clock.

Row C10 of the reliability bar, as far as shared state is concerned.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator
from typing import Final, cast

import pytest

from tests.faults.clocks import wrong_by
from tests.faults.replicas import Cluster
from tests.faults.sick import BACK_S, COUNT, LIMIT, Users, recovered, settled, sick_cluster, store, users, uses
from tests.faults.test_redis_attackers import answered, asked
from tests.protected.made import Deployment

pytestmark = [pytest.mark.anyio, pytest.mark.timing, pytest.mark.timeout(120)]

Ran = tuple[Cluster, Deployment]
OFF_S: Final = (300.0, -300.0)
"""The third replica's clock is right."""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Generator[Ran]:
    clocks = [wrong_by(seconds) for seconds in OFF_S]
    folder = tmp_path_factory.mktemp("clocks")
    with sick_cluster(folder, own=lambda index: clocks[index] if index < len(clocks) else {}) as started:
        yield started


@pytest.fixture
async def asking(ran: Ran, request: pytest.FixtureRequest) -> AsyncGenerator[Users]:
    async with users(*ran, request.node.name) as made:
        await settled(made)
        yield made


async def test_limits_are_counted_together(asking: Users) -> None:
    admitted = [await uses(asking.guest, at, 2) for at in (0, 1, 2, 0, 1, 2)]
    assert sum(admitted) == LIMIT


async def test_sessions_are_shared_and_live_as_long_as_is_set_whoever_opened_them(ran: Ran, asking: Users) -> None:
    cluster, _ = ran
    sessions = await asking.open()
    await recovered(asking, sessions)
    keys = cast("list[bytes]", store(cluster).ask("KEYS", "*:session:*"))
    ends = [cast("int", store(cluster).ask("PTTL", key)) for key in keys]
    idle_ms = 1_800_000 + 120_000
    assert ends
    assert all(0.99 * idle_ms < end <= idle_ms for end in ends)


async def test_a_calls_outcome_is_told_again_and_a_question_is_answered_at_any_other_replica(asking: Users) -> None:
    ann = asking.ann
    for at in range(COUNT):
        word = ann.word()
        told = [await ann.modern((at + step) % COUNT, "effect", {"id": word}, key=word) for step in range(COUNT)]
        assert [one.text for one in told] == [word] * COUNT
        params, state = await asked(ann, at)
        assert (await answered(ann, (at + 1) % COUNT, params, state)).status == 200


async def test_a_lost_replicas_sessions_are_taken_over_as_soon_as_with_right_clocks(ran: Ran, asking: Users) -> None:
    cluster, _ = ran
    ann, sessions = asking.ann, await asking.open()
    await cluster.kill(1)
    async with asyncio.timeout(BACK_S):
        for at in (0, 2):
            while (await ann.legacy(at, sessions["ann"][1], "add", {"a": 1, "b": 1})).text != "2":
                await asyncio.sleep(0.02)  # another process: a lease lapses
    for at in (0, 2):
        assert (await ann.legacy(at, sessions["ann"][2 - at], "add", {"a": 1, "b": 1})).text == "2"
