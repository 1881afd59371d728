"""What replicas cost that share state on Redis: a call relayed, a use counted, a session opened, each next to without.

`python bench/replicas.py [--rounds N] [--seconds S]` starts Redis and its replicas itself. CPU µs of one call, by who
spent them; medians over the rounds.
"""

import argparse
import asyncio
import os
import secrets
import shutil
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median

import uvloop
from failure import BenchFailure
from load import Caller, Connection, Load, open_session, wait_for_call
from memory import end_sessions
from process import Cores, ServerProcess, choose_cores, free_port
from sides import INHERITED, Side, server
from wire import FIRST_ID, Era, Frame, call_frame, initialize

CONNECTIONS = 16
WARM_UP_S = 0.3
SESSIONS = 1600
LIMIT = {"RATE_LIMIT_MAX_REQUESTS": "1000", "RATE_LIMIT_WINDOW_MS": "20"}
"""Never reached, as in the part about features."""


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU of one call in µs: of the replica that was asked, of the other one, and of Redis."""

    asked: float
    other: float
    redis: float

    @property
    def together(self) -> float:
        """All of it."""
        return self.asked + self.other + self.redis


@dataclass(frozen=True, slots=True)
class Setup:
    """The servers of one round: replicas in memory and on Redis, without and with a limit, and a second on Redis."""

    redis: ServerProcess
    alone: ServerProcess
    alone_limited: ServerProcess
    shared: ServerProcess
    shared_limited: ServerProcess
    other: ServerProcess


Costs = dict[str, Cost]

ROWS: Mapping[str, str | None] = {
    "call, new era, in memory": None,
    "call, new era, on Redis": "call, new era, in memory",
    "call, new era, in memory, limited": "call, new era, in memory",
    "call, new era, on Redis, limited": "call, new era, on Redis",
    "call, old era, in memory": None,
    "call, old era, on Redis, at its owner": "call, old era, in memory",
    "call, old era, on Redis, relayed": "call, old era, on Redis, at its owner",
    "initialize, in memory": None,
    "initialize, on Redis": "initialize, in memory",
}
"""Each row and what it is compared with."""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.6)
    arguments = parser.parse_args()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            rounds = runner.run(measure(arguments.rounds, arguments.seconds))
    except BenchFailure as failure:
        print(f"no figures: {failure}", file=sys.stderr)
        return 1
    print("\n".join(table(rounds)))
    return 0


async def measure(rounds: int, seconds: float) -> Sequence[Costs]:
    """Return what each round found; every round starts all servers anew, and goes through the rows the other way."""
    cores = choose_cores()
    if cores.client is not None:
        os.sched_setaffinity(0, {cores.client})
    found: list[Costs] = []
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        with started(cores) as setup:
            for one in (setup.alone, setup.alone_limited, setup.shared, setup.shared_limited, setup.other):
                await wait_for_call(one)
            costs: Costs = {}
            for row in ROWS if number % 2 == 0 else reversed(list(ROWS)):
                costs[row] = await measure_row(setup, row, seconds)
            found.append(costs)
    return found


@contextmanager
def started(cores: Cores) -> Generator[Setup]:
    """Run the servers of one round for the block."""
    program = shutil.which("redis-server")
    if program is None:
        raise BenchFailure("redis-server is not installed")
    port = free_port()
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    shared = {"REDIS_URL": f"redis://127.0.0.1:{port}/0", "ENCRYPTION_KEY": secrets.token_hex(32)}
    with ExitStack() as stack:
        redis = stack.enter_context(ServerProcess("redis", command, port, environment, cores.client))

        def replica(**settings: str) -> ServerProcess:
            return stack.enter_context(server(Side.PORTSIDE, cores.server, settings=settings))

        yield Setup(
            redis, replica(), replica(**LIMIT), replica(**shared), replica(**shared, **LIMIT), replica(**shared)
        )


async def measure_row(setup: Setup, row: str, seconds: float) -> Cost:
    """Measure one row."""
    is_limited = "limited" in row
    if "on Redis" in row:
        asked = setup.shared_limited if is_limited else setup.shared
    else:
        asked = setup.alone_limited if is_limited else setup.alone
    if row.startswith("initialize"):
        return await opening(setup, asked)
    era = Era.NEW if "new era" in row else Era.OLD
    owner = setup.other if "relayed" in row else asked
    return await calling(setup, asked, owner, era, seconds)


async def calling(setup: Setup, asked: ServerProcess, owner: ServerProcess, era: Era, seconds: float) -> Cost:
    """Put load on a replica, in the old era on sessions of `owner`, and return what one call cost."""
    loop = asyncio.get_running_loop()
    callers: list[tuple[Caller, Frame]] = []
    sessions: list[str] = []
    for index in range(CONNECTIONS):
        session = await session_at(owner) if era is Era.OLD else None
        sessions += [session] if session is not None else []
        _, caller = await loop.create_connection(partial(Caller, FIRST_ID + index * 1_000_000), "127.0.0.1", asked.port)
        callers.append((caller, call_frame(asked.host, era, "echo", session)))
    load = Load(asked, callers)
    try:
        await load.run(WARM_UP_S)
        before = spent(setup, asked, owner)
        measured = await load.run(seconds)
        return per_call(before, spent(setup, asked, owner), measured.calls)
    finally:
        load.close()
        await end_sessions(owner, sessions)


async def opening(setup: Setup, asked: ServerProcess) -> Cost:
    """Open sessions on a replica and return what one `initialize` cost."""
    loop = asyncio.get_running_loop()
    connections = [(await loop.create_connection(Connection, "127.0.0.1", asked.port))[1] for _ in range(CONNECTIONS)]
    sessions: list[str] = []

    async def some(connection: Connection, count: int) -> None:
        for _ in range(count):
            response = await connection.ask(initialize(asked.host))
            session = response.header(b"mcp-session-id")
            if response.status != 200 or session is None:
                raise BenchFailure(f"initialize: HTTP {response.status}, {response.body[:500]!r}")
            sessions.append(session)

    async def all_of(count: int) -> None:
        await asyncio.gather(*(some(connection, count // CONNECTIONS) for connection in connections))

    try:
        await all_of(CONNECTIONS * 4)
        before = spent(setup, asked, asked)
        await all_of(SESSIONS)
        return per_call(before, spent(setup, asked, asked), SESSIONS)
    finally:
        for connection in connections:
            connection.close()
        await end_sessions(asked, sessions)


async def session_at(owner: ServerProcess) -> str:
    """Open a session at a replica, which keeps it from then on."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", owner.port)
    session = await open_session(connection, owner.host)
    connection.close()
    if session is None:
        raise BenchFailure(f"{owner.name} gave no session id")
    return session


def spent(setup: Setup, asked: ServerProcess, owner: ServerProcess) -> Cost:
    """Return what each has spent so far, in µs."""
    other = owner.cpu_s() if owner is not asked else 0.0
    return Cost(asked.cpu_s() * 1e6, other * 1e6, setup.redis.cpu_s() * 1e6)


def per_call(before: Cost, after: Cost, calls: int) -> Cost:
    """Return the cost of one of so many calls."""
    return Cost(
        (after.asked - before.asked) / calls,
        (after.other - before.other) / calls,
        (after.redis - before.redis) / calls,
    )


def table(rounds: Sequence[Costs]) -> Sequence[str]:
    """Return the report: CPU of each, of all together, and the ratio to the row it is compared with."""
    lines = [f"{'CPU µs a call':40} {'asked':>7} {'other':>7} {'Redis':>7} {'all':>7}   ratio"]
    for row, base in ROWS.items():
        costs = [one[row] for one in rounds]
        columns = [median(part) for part in zip(*((c.asked, c.other, c.redis, c.together) for c in costs), strict=True)]
        told = "  ".join(f"{value:6.0f}" for value in columns)
        lines.append(f"{row:40}  {told}   {ratio(rounds, row, base)}".rstrip())
    return lines


def ratio(rounds: Sequence[Costs], row: str, base: str | None) -> str:
    """Return how much more a row costs than its base, all together: median, lowest and highest round."""
    if base is None:
        return ""
    quotients = [one[row].together / one[base].together for one in rounds]
    return f"{median(quotients):.2f} ({min(quotients):.2f}-{max(quotients):.2f}) of {base}"


if __name__ == "__main__":
    sys.exit(main())
