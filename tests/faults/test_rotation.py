"""The key that everything is sealed with is changed under load, and no exchange, session or outcome is lost by it.

Row C5 of the reliability bar; SOAK_OPERATIONS=10000 is the whole of it.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.faults.calls import Call, initialize, initialized, request
from tests.faults.hearing import heard_of
from tests.faults.judge import Outcome, judge
from tests.faults.replicas import Cluster, replicas
from tests.faults.rounds import Rounds
from tests.faults.wire import Answer, Connections

OPERATIONS: Final = int(os.environ.get("SOAK_OPERATIONS", "200"))
LIMIT_S: Final = 180 + OPERATIONS // 10

pytestmark = [pytest.mark.anyio, pytest.mark.timing, pytest.mark.timeout(LIMIT_S)]

SERVER: Final = "tests/faults/server_asking.py"
BUSY: Final = 4
EVENTS: Final = 6
PAUSE_S: Final = 0.2


class Keys:
    """The file that every replica reads its keys from when it starts."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.old, self.new = (f"{name}:{secrets.token_hex(32)}" for name in ("old", "new"))
        self.write(self.old)

    def write(self, *keys: str) -> None:
        """Have replicas that start from now on seal with the first key and open with all."""
        self._file.touch(mode=0o600)
        self._file.write_text(",".join(keys), encoding="ascii")

    @property
    def environment(self) -> dict[str, str]:
        """What replicas are started with; patient with Redis, since this is not about a machine that is too busy."""
        return {"ENCRYPTION_KEY": "", "ENCRYPTION_KEY_FILE": str(self._file), "PORTSIDE_REDIS_TIMEOUT_MS": "5000"}


async def roll(cluster: Cluster, *, at_least: int, rounds: Rounds) -> None:
    """Drain and start every replica, one after the other; in between exchanges, and events heard everywhere."""
    for index in range(len(cluster.replicas)):
        assert await cluster.terminate(index) == 0
        await cluster.restart(index)
        uris = [f"note://{number}" for number in range(EVENTS)]
        assert await heard_of(cluster.ports, uris) == dict.fromkeys(cluster.ports, uris)
        await rounds.reached(rounds.tally.done + rounds.tally.failures.total() + at_least)


async def test_a_key_is_changed_in_three_steps_and_nothing_that_it_sealed_is_lost(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "encryption.key")
    step = OPERATIONS // 10
    async with replicas(3, server=SERVER, proxy="roundrobin", environment=keys.environment) as cluster:
        rounds = Rounds(cluster.port, clients=8, think_s=0.3)
        async with asyncio.TaskGroup() as group, legacy(cluster.port) as sessions:
            group.create_task(rounds.run())
            busy = group.create_task(sessions.use())
            parked = await sessions.open()
            outcome = await sessions.keyed("k1")
            await rounds.reached(step)
            keys.write(keys.old, keys.new)
            await roll(cluster, at_least=step, rounds=rounds)
            assert await sessions.keyed("k1") == outcome
            keys.write(keys.new, keys.old)
            await roll(cluster, at_least=step, rounds=rounds)
            assert await sessions.keyed("k1") == outcome
            assert await sessions.add(parked) is Outcome.OK
            # What the old key sealed has a lifetime; an operator waits for it, and these users take 0.3 s.
            await rounds.settled()
            keys.write(keys.new)
            await roll(cluster, at_least=step, rounds=rounds)
            assert await sessions.add(parked) is Outcome.OK
            await rounds.reached(OPERATIONS)
            rounds.stop()
            sessions.is_over = True
            used = await busy
        print(f"{rounds.tally}; {used} calls on {BUSY} legacy sessions")
        assert not rounds.tally.failures, f"{rounds.tally}\n{cluster.printed()}"
        assert rounds.tally.done >= OPERATIONS
        assert cluster.tracebacks() == []


class Legacy:
    """Sessions of the old era, used one call after the other, at whichever replica the front chooses."""

    def __init__(self, port: int) -> None:
        self.is_over = False
        self.resent = 0
        self._way = Connections(port)
        self._number = 0

    async def open(self) -> str:
        """Return a new session, its handshake over."""
        answer = await self._asked(initialize())
        session = answer.headers["mcp-session-id"]
        await self._asked(initialized(session))
        return session

    async def use(self) -> int:
        """Use some sessions until `is_over`; return how many calls were made. Every one must be answered."""
        used = 0
        sessions = [await self.open() for _ in range(BUSY)]
        while not self.is_over:
            for session in sessions:
                assert await self.add(session) is Outcome.OK
                used += 1
            await asyncio.sleep(PAUSE_S)
        return used

    async def add(self, session: str) -> Outcome:
        """Make a call on a session and say how it ended."""
        self._number += 1
        call = Call(self._number, f"legacy-{self._number}", "add")
        verdict = judge(call, await self._asked(request(call, session)))
        assert verdict.outcome is Outcome.OK, verdict
        return verdict.outcome

    async def keyed(self, key: str) -> bytes:
        """Return what a call says that may be made once only, asked for again under the same key."""
        call = Call(1, key, "effect")
        return (await self._asked(request(call, None, key=key))).body

    async def _asked(self, sent: bytes) -> Answer:
        for _ in range(5):
            answer = await self._way.ask(sent, timeout_s=30)
            if answer is not None and answer.status:
                return answer
            self.resent += 1
        raise ConnectionError("the connection broke five times before an answer began")

    def close(self) -> None:
        self._way.close()


@asynccontextmanager
async def legacy(port: int) -> AsyncGenerator[Legacy]:
    sessions = Legacy(port)
    try:
        yield sessions
    finally:
        sessions.is_over = True
        sessions.close()
