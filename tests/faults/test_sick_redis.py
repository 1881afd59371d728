"""What clients of three replicas see while Redis is sick: as declared, in time, never another's; and back in time.

Rows C6 and C7 of the reliability bar, at the whole server; what every verb of state does is `test_redis_state`'s.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Final

import pytest

from tests.faults.asker import Told
from tests.faults.modes import BlackHole, Delay, Refuse, Reset
from tests.faults.replicas import Cluster
from tests.faults.sick import (
    BACK_S,
    COUNT,
    LIMIT,
    UNKNOWN,
    Users,
    await_shown,
    everything,
    in_session,
    recovered,
    settled,
    sick_cluster,
    store,
    under,
    users,
    uses,
)
from tests.protected.made import Deployment, call

pytestmark = [pytest.mark.anyio, pytest.mark.timing, pytest.mark.timeout(120)]

Ran = tuple[Cluster, Deployment]
SICK_S: Final = 1.6
"""Longer than a lease lasts, so that nobody's session is anybody's by the end of it."""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Generator[Ran]:
    with sick_cluster(tmp_path_factory.mktemp("sick")) as started:
        yield started


@pytest.fixture
async def asking(ran: Ran, request: pytest.FixtureRequest) -> AsyncGenerator[Users]:
    async with users(*ran, request.node.name) as made:
        await settled(made)
        yield made


@contextmanager
def stopped(cluster: Cluster) -> Generator[None]:
    store(cluster).pause()
    try:
        yield
    finally:
        store(cluster).resume()


FAULTS: Final[dict[str, Callable[[Cluster], AbstractContextManager[None]]]] = {
    "stopped": stopped,
    "slowed by 2 s": lambda cluster: under(cluster, Delay(1000)),
    "swallowed": lambda cluster: under(cluster, BlackHole()),
    "refused": lambda cluster: under(cluster, Refuse()),
    "reset": lambda cluster: under(cluster, Reset()),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_needs_no_state_goes_on_and_the_rest_says_when_to_come_again(
    ran: Ran, asking: Users, fault: str
) -> None:
    cluster, _ = ran
    sessions = await asking.open()
    assert await uses(asking.guest, 0, LIMIT + 1) == LIMIT
    async with streaming(cluster, asking, sessions["ann"][0], seconds=SICK_S + 1) as answers:
        with FAULTS[fault](cluster):
            async with asyncio.TaskGroup() as group:
                group.create_task(during(asking, sessions))
                admitted = [group.create_task(uses(asking.guest, at, LIMIT)) for at in range(COUNT)]
            assert [one.result() for one in admitted] == [LIMIT // COUNT] * COUNT
            for at in range(COUNT):
                await await_shown(asking, at, "unhealthy", mcp_state_up=0, mcp_limits_degraded=1)
        await recovered(asking, sessions)
        for at in range(COUNT):
            await await_shown(asking, at, "healthy", mcp_state_up=1, mcp_limits_degraded=0)
    assert await uses(asking.guest, 0, 1) == 0
    assert [answer.text for answer in answers] == [asking.ann.canary] * len(answers)
    assert max(cluster.effects.counts("effect", "slow").values()) == 1


async def during(users: Users, sessions: dict[str, Sequence[str]]) -> None:
    """Ask everything again and again for as long as Redis is to be sick."""
    loop = asyncio.get_running_loop()
    until = loop.time() + SICK_S
    while loop.time() < until:
        await everything(users, sessions)
        await asyncio.sleep(0.05)  # time must pass: leases lapse in it


@asynccontextmanager
async def streaming(cluster: Cluster, users: Users, session: str, *, seconds: float) -> AsyncGenerator[list[Told]]:
    """Have a call of each era on a stream for the block, begun when it starts; the answers are there after it."""
    ann, answers = users.ann, list[Told]()
    arguments = {"id": ann.canary, "seconds": seconds, "steps": 4}
    aloud = {"progressToken": 1}
    requests = [
        ann.legacy_call(session, "slow", arguments, is_aloud=True),
        call("slow_read", arguments, token=ann.token, id=1, meta=aloud),
    ]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ann.send(at, request, timeout_s=20)) for at, request in enumerate(requests)]
        async with asyncio.timeout(5):
            while len([run for run in cluster.effects.runs() if run.id == ann.canary]) < len(requests):
                await asyncio.sleep(0.02)  # other processes: there is nothing to wait on but what they do
        yield answers
    answers += [task.result() for task in tasks]


async def test_a_call_under_way_at_another_replica_is_told_that_its_outcome_is_unknown_in_time(
    ran: Ran, asking: Users
) -> None:
    """Its answer would come by Redis. One that only reads is refused, and may be made again."""
    cluster, _ = ran
    ann, sessions = asking.ann, await asking.open()
    words = [ann.word(), ann.word()]
    requests = [
        ann.legacy_call(sessions["ann"][0], tool, {"id": word, "seconds": 8, "steps": 1})
        for tool, word in zip(("slow", "slow_read"), words, strict=True)
    ]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ann.send(1, request, timeout_s=20)) for request in requests]
        async with asyncio.timeout(5):
            while len(cluster.effects.counts().keys() & set(words)) < len(words):
                await asyncio.sleep(0.02)  # another process: there is nothing to wait on but what it does
        with under(cluster, Refuse()):
            async with asyncio.timeout(BACK_S):
                await asyncio.wait(tasks)
    unknown, refused = (task.result() for task in tasks)
    assert unknown.code == UNKNOWN
    assert refused.is_away
    await recovered(asking, sessions)


async def test_one_replica_cut_off_loses_its_sessions_to_the_others_and_comes_back_by_itself(
    ran: Ran, asking: Users
) -> None:
    cluster, _ = ran
    ann, sessions = asking.ann, await asking.open()
    session, words = sessions["ann"][0], [ann.word(), ann.word()]
    async with asyncio.TaskGroup() as group:
        requests = [
            ann.legacy_call(session, "slow", {"id": word, "seconds": 8, "steps": 1}, is_aloud=is_aloud)
            for word, is_aloud in zip(words, (True, False), strict=True)
        ]
        aloud, silent = [group.create_task(ann.send(0, request, timeout_s=20)) for request in requests]
        async with asyncio.timeout(5):
            while len(cluster.effects.counts().keys() & set(words)) < len(words):
                await asyncio.sleep(0.02)  # another process: there is nothing to wait on but what it does
        with under(cluster, BlackHole(), 0):
            async with asyncio.timeout(BACK_S):
                while (await in_session(ann, asking, 1, session, is_owner=False)).status != 200:
                    await asyncio.sleep(0.02)  # other processes: a lease lapses
            cut_off = await in_session(ann, asking, 0, session, is_owner=True)
            assert cut_off.is_away
            plain = await ann.modern(0, "add", {"a": 1, "b": 1})
            assert plain.text == "2"
            for at in (1, 2):
                assert (await in_session(ann, asking, at, session, is_owner=False)).status == 200
        await recovered(asking, sessions)
        where = await ann.legacy(0, session, "whoami", {})
        assert '"replica-1"' in str(where.text)
    # There is one answer: the session's new owner gives it to who can resume, the former one to who cannot.
    assert silent.result().code == UNKNOWN
    broken = aloud.result()
    assert (broken.text, broken.code) == (None, None)
    assert broken.last_event is not None
    assert (await ann.resume(2, session, broken.last_event)).code == UNKNOWN
    assert [cluster.effects.counts()[word] for word in words] == [1, 1]
    metrics = [await await_shown(asking, at, "healthy") for at in range(COUNT)]
    assert metrics[0]["mcp_sessions_lost_total"] >= 1
    assert metrics[1]["mcp_sessions_taken_over_total"] >= 1


@contextmanager
def killed(cluster: Cluster) -> Generator[None]:
    store(cluster).kill()
    try:
        yield
    finally:
        store(cluster).start()


@contextmanager
def emptied(cluster: Cluster) -> Generator[None]:
    yield
    store(cluster).empty()


@pytest.mark.parametrize("fault", [killed, emptied])
async def test_after_redis_lost_everything_sessions_are_unknown_and_opened_anew(
    ran: Ran, asking: Users, fault: Callable[[Cluster], AbstractContextManager[None]]
) -> None:
    cluster, _ = ran
    sessions = await asking.open()
    with fault(cluster):
        if fault is killed:
            await during(asking, sessions)
    for user in (asking.ann, asking.eve):
        for session in sessions[user.name]:
            for at in range(COUNT):
                await unknown(asking, user.name, at, session)
    opened = await asking.open()
    await everything_goes_on(asking, opened)


async def unknown(users: Users, name: str, at: int, session: str) -> None:
    """Return once a session is unknown at a replica, as it soon must be; until then it may be told to come again."""
    user = users.ann if name == "ann" else users.eve
    async with asyncio.timeout(BACK_S):
        while (told := await user.legacy(at, session, "add", {"a": 1, "b": 1})).status != 404:
            assert told.is_away or told.text == "2", told
            await asyncio.sleep(0.02)  # other processes: there is nothing to wait on but their answers


async def everything_goes_on(users: Users, sessions: dict[str, Sequence[str]]) -> None:
    await recovered(users, sessions)
    for at in range(COUNT):
        told = await users.eve.legacy(at, sessions["ann"][0], "add", {"a": 1, "b": 1})
        assert told.status == 404


async def test_after_redis_was_set_back_nothing_that_ended_lives_again(ran: Ran, asking: Users) -> None:
    cluster, _ = ran
    ann, sessions = asking.ann, await asking.open()
    ended = await ann.open(0)
    dump = store(cluster).dump()
    later = await ann.open(1)
    assert (await ann.end(2, ended)).status == 200
    store(cluster).kill()
    await during(asking, sessions)
    store(cluster).set_back(dump)
    await everything_goes_on(asking, sessions)
    for at in range(COUNT):
        for gone in (ended, later):
            await unknown(asking, "ann", at, gone)
