"""Three replicas with users before them and a sick Redis behind: what is asked of each, and what must be said."""

import asyncio
import json
import re
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from anyio.from_thread import start_blocking_portal

from tests.faults.asker import NORMAL_S, Asker, Told
from tests.faults.modes import Mode, Pass
from tests.faults.patience import SLACK
from tests.faults.replicas import Cluster, replicas
from tests.faults.wire import Connections
from tests.journeys.raw import get
from tests.protected.made import Deployment
from tests.redis_servers import RedisServer

COUNT: Final = 3
LIMIT: Final = 9
"""How often one user may call `whoami` in a minute; each replica's share of it is 3."""

BACK_S: Final = 2.0 * SLACK
"""By then all is as before, once the cause is gone (reliability bar, C6)."""

UNKNOWN: Final = -31009


@dataclass
class Users:
    """Two users with a session at every replica, and one who is at the end of a limit. `front` is before all three."""

    ann: Asker
    eve: Asker
    guest: Asker
    front: int

    async def open(self) -> dict[str, Sequence[str]]:
        """Open the sessions: by user, the one at each replica."""
        return {user.name: [await user.open(at) for at in range(COUNT)] for user in (self.ann, self.eve)}

    def check(self, user: Asker, told: Told) -> None:
        """Raise AssertionError where an answer holds somebody else's word."""
        for other in (self.ann, self.eve, self.guest):
            if other is not user and other.canary.encode() in told.raw:
                raise AssertionError(f"{user.name} was told {told.raw!r}")


@contextmanager
def sick_cluster(
    folder: Path, url: str | None = None, own: Callable[[int], Mapping[str, str]] = lambda _: {}
) -> Generator[tuple[Cluster, Deployment]]:
    """Run the replicas for the block, on a loop of their own; afterwards no log of theirs may hold a traceback.

    They share the Redis at `url`, or one of their own, each by its own way. `own` is what a replica's environment has
    besides.
    """
    deployment = Deployment(folder)
    shared = deployment.environment(
        RATE_LIMIT_MAX_REQUESTS="100000",
        RATE_LIMIT_WINDOW_MS="60000",
        PORTSIDE_TOOL_LIMITS=f"whoami={LIMIT}",
        PORTSIDE_REPLICAS=str(COUNT),
        PORTSIDE_METRICS_OPEN="true",
        PORTSIDE_REDIS_TIMEOUT_MS="500",
    )
    del shared["PORTSIDE_DATA_DIR"]  # each has its own
    shared |= {} if url is None else {"REDIS_URL": url}
    with start_blocking_portal() as portal:
        is_own = url is None
        started = replicas(
            COUNT,
            has_redis=is_own,
            has_ways=is_own,
            proxy="roundrobin",
            environment=lambda index: {**shared, **own(index)},
        )
        with portal.wrap_async_context_manager(started) as cluster:
            yield cluster, deployment
            broken = cluster.tracebacks()
            if broken:
                raise AssertionError(f"{broken[0]}\n{cluster.printed()}")


@asynccontextmanager
async def users(cluster: Cluster, deployment: Deployment, test: str) -> AsyncGenerator[Users]:
    """Have users of one test for the block."""
    ways = [Connections(port) for port in (*cluster.ports, cluster.port)]
    try:
        # Good also by a clock that is some minutes behind.
        issued = int(time.time()) - 600
        test = f"{test} {secrets.token_hex(4)}"
        tokens = {name: deployment.token(f"{name} of {test}", iat=issued) for name in ("ann", "eve", "guest")}
        made = [Asker(name, token, ways) for name, token in tokens.items()]
        yield Users(*made, front=COUNT)
    finally:
        for way in ways:
            way.close()


@contextmanager
def under(cluster: Cluster, mode: Mode, *indices: int) -> Generator[None]:
    """Have the ways of some replicas to Redis, or of all, in a mode for the block."""
    chosen = [cluster.ways[index] for index in indices or range(COUNT)]
    for way in chosen:
        way.set(mode)
    try:
        yield
    finally:
        for way in chosen:
            way.set(Pass())


def store(cluster: Cluster) -> RedisServer:
    """Return the cluster's Redis."""
    if cluster.redis is None:
        raise AssertionError("this cluster has no Redis of its own")
    return cluster.redis


async def plain(users: Users, at: int) -> None:
    """Make a call without a session or a key: it must be answered, in time."""
    told = await users.ann.modern(at, "add", {"a": 1, "b": 1})
    if (told.status, told.text) != (200, "2"):
        raise AssertionError(f"a plain call at {at} was answered with {told}")


async def keyed(users: Users, at: int) -> None:
    """Make a call with a key: it must be told that the ledger is away."""
    word = users.eve.word()
    told = await users.eve.modern(at, "effect", {"id": word}, key=word)
    users.check(users.eve, told)
    if not told.is_away:
        raise AssertionError(f"a call with a key at {at} was answered with {told}")


async def in_session(user: Asker, users: Users, at: int, session: str, *, is_owner: bool) -> Told:
    """Make a call in a session: answered with its own result or told to come again; unknown only if it was relayed."""
    word = user.word()
    told = await user.legacy(at, session, "effect", {"id": word})
    users.check(user, told)
    is_answered = (told.status, told.text) == (200, word)
    if not (is_answered or told.is_away or (told.code == UNKNOWN and not is_owner)):
        raise AssertionError(f"{user.name}'s call in a session at {at} was answered with {told}\n{word}")
    return told


async def intrusion(users: Users, at: int, session: str) -> None:
    """Have eve ask in ann's session: unknown to her, or nobody can say."""
    told = await users.eve.legacy(at, session, "effect", {"id": users.eve.word()})
    users.check(users.eve, told)
    if told.status != 404 and not told.is_away:
        raise AssertionError(f"somebody else's session at {at} was answered with {told}")


async def everything(users: Users, sessions: dict[str, Sequence[str]]) -> None:
    """Ask every replica everything once, all at once; each must be answered as is right while Redis is sick."""
    asked = [plain(users, at) for at in (*range(COUNT), users.front, users.front)]
    asked += [keyed(users, at) for at in range(COUNT)]
    asked += [intrusion(users, at, sessions["ann"][(at + 1) % COUNT]) for at in range(COUNT)]
    own = [
        in_session(user, users, at, session, is_owner=at == owner)
        for user in (users.ann, users.eve)
        for owner, session in enumerate(sessions[user.name])
        for at in range(COUNT)
    ]
    await asyncio.gather(*asked, *own)


async def recovered(users: Users, sessions: dict[str, Sequence[str]], within_s: float = BACK_S) -> None:
    """Return once every session goes on at every replica, and calls with a key do.

    Raises AssertionError where they do not within that time, and what asking itself may take.
    """
    both = users.ann, users.eve
    left = {(user.name, at, session) for user in both for session in sessions[user.name] for at in range(COUNT)}
    keys = set(range(COUNT))
    try:
        async with asyncio.timeout(within_s + NORMAL_S):
            while left or keys:
                for at in list(keys):
                    word = users.eve.word()
                    told = await users.eve.modern(at, "effect", {"id": word}, key=word)
                    if (told.status, told.text) == (200, word):
                        keys.discard(at)
                for name, at, session in list(left):
                    user = users.ann if name == "ann" else users.eve
                    if (await in_session(user, users, at, session, is_owner=False)).status == 200:
                        left.discard((name, at, session))
                await asyncio.sleep(0.02)  # other processes: there is nothing to wait on but their answers
    except TimeoutError:
        raise AssertionError(f"not back after {within_s:g} s: {[one[:2] for one in left]}, keys at {keys}") from None


async def uses(user: Asker, at: int, times: int) -> int:
    """Call the limited tool; return how often it was admitted. Whatever is not must be told 429."""
    said = [await user.modern(at, "whoami", {}) for _ in range(times)]
    if {told.status for told in said} - {200, 429}:
        raise AssertionError(f"a limited call was answered with {[told.status for told in said]}")
    return sum(told.status == 200 for told in said)


async def shown(users: Users, at: int) -> tuple[str, dict[str, float]]:
    """Return what `/health` says, and the metrics without labels."""
    told = await users.ann.send(at, get("/health"), timeout_s=4)
    metrics = await users.ann.send(at, get("/metrics"), timeout_s=4)
    pairs = re.findall(r"^(mcp_\w+) ([0-9.e+-]+)$", metrics.raw.decode(), re.MULTILINE)
    return str(json.loads(told.raw)["status"]), {name: float(value) for name, value in pairs}


async def await_shown(
    users: Users, at: int, status: str, *, within_s: float = 4.0, **gauges: float
) -> dict[str, float]:
    """Wait until `/health`, which is up to a second old, says a status, and gauges are as given; return the metrics."""
    async with asyncio.timeout(within_s):
        while True:
            said, metrics = await shown(users, at)
            if said == status and gauges.items() <= metrics.items():
                return metrics
            await asyncio.sleep(0.05)  # another process: there is nothing to wait on but its answer


async def settled(users: Users, within_s: float = 8.0) -> None:
    """Return once nothing is left of a fault before: every replica opens sessions and finds those of the others."""
    async with asyncio.timeout(within_s):
        sessions = await users.open()
    await recovered(users, sessions, within_s)
