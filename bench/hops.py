"""What a hop costs: the CPU of whoever passes a call on, without that of the server behind it."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from hop_sides import Hop, HopRow, Via, absent_rivals, behind, hop_rows, hop_server
from load import Caller, Load, Slice, check_healthy, open_session, wait_for, wait_for_call
from memory import end_sessions
from process import Cores, ServerProcess
from wire import FIRST_ID, Era, Frame, call_frame, initialize

Servers = dict[tuple[Hop, Via], ServerProcess]


@dataclass(frozen=True, slots=True)
class Hops:
    """What was measured, one slice per round, and why a rival is missing."""

    slices: dict[HopRow, list[Slice]] = field(default_factory=dict[HopRow, list[Slice]])
    absent: dict[Via, str] = field(default_factory=dict[Via, str])


@dataclass(frozen=True, slots=True)
class Pace:
    """How much is measured. warm_up_s and slice_s: seconds of load, per row and round."""

    rounds: int
    warm_up_s: float
    slice_s: float
    connections: int


async def measure_hops(pace: Pace, cores: Cores, say: Callable[[str], None]) -> Hops:
    """Put load on every hop in every round, with new processes in each round. Raises BenchFailure."""
    absent = absent_rivals()
    wanted = hop_rows(pace.connections, absent)
    slices: dict[HopRow, list[Slice]] = {row: [] for row in wanted}
    for number in range(pace.rounds):
        say(f"hops, round {number + 1} of {pace.rounds}")
        with ExitStack() as stack:
            upstream = stack.enter_context(behind(cores))
            await wait_for_call(upstream)
            servers: Servers = {}
            for hop, via in dict.fromkeys((row.hop, row.via) for row in wanted):
                servers[hop, via] = stack.enter_context(hop_server(hop, via, upstream, cores))
                await ready(via, servers[hop, via])
            for row in wanted if number % 2 == 0 else reversed(wanted):  # A B, then B A: drift hits both alike
                slices[row].append(await measure_hop(servers[row.hop, row.via], row, pace))
    return Hops(slices, absent)


async def ready(via: Via, server: ServerProcess) -> None:
    """Wait until a call is passed on, or, where only the old era is spoken, until a session opens."""
    if via is Via.MCP_PROXY:
        await wait_for(server, initialize(server.host), check_healthy)
    else:
        await wait_for_call(server)


async def measure_hop(server: ServerProcess, row: HopRow, pace: Pace) -> Slice:
    """Warm one row up, measure it, and end its sessions: behind a stdio hop each may hold a child."""
    sessions: list[str] = []
    callers: list[tuple[Caller, Frame]] = []
    loop = asyncio.get_running_loop()
    for index in range(row.connections):
        numbers = FIRST_ID + index * 1_000_000  # no two connections ever send the same id or text
        _, caller = await loop.create_connection(partial(Caller, numbers), "127.0.0.1", server.port)
        session = await open_session(caller, server.host) if row.era is Era.OLD else None
        callers.append((caller, call_frame(server.host, row.era, "echo", session)))
        if session is not None:
            sessions.append(session)
    load = Load(server, callers)
    try:
        await load.run(pace.warm_up_s)
        measured = await load.run(pace.slice_s)
    finally:
        load.close()
    await end_sessions(server, sessions)
    return measured
