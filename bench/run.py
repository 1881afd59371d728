"""Compare portside on this machine: with the bare official SDK, with others as a hop, and feature by feature."""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

import uvloop
from failure import BenchFailure
from features import Features, feature_bars, feature_document, feature_tables, measure_features
from figures import bar_line
from hops import Hops, Pace, measure_hops
from load import Slice, connected, wait_for_call
from memory import SessionMemory, allow_files, measure_sessions
from process import Cores, ServerProcess, choose_cores
from report import Results, as_json, as_text, bars
from sides import Row, Side, rows, server
from startup import Start, measure_health, measure_help

FAILED, CHECKS_FAILED, INTERRUPTED = 1, 5, 130


class Part(StrEnum):
    """A part of the benchmark that can run without the others."""

    SDK = "sdk"
    HOPS = "hops"
    FEATURES = "features"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. warm_up_s and slice_s: seconds of load, per row and round."""

    parts: tuple[Part, ...] = tuple(Part)
    sides: tuple[Side, ...] = tuple(Side)
    rounds: int = 5
    warm_up_s: float = 0.4
    slice_s: float = 1.6
    connections: int = 16
    sessions: int = 2000
    starts: int = 3


QUICK = Plan(rounds=2, warm_up_s=0.15, slice_s=0.4, sessions=400, starts=1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, print it, and return the exit code."""
    chosen = parse(arguments)
    plan = QUICK if chosen.quick else Plan()
    parts = tuple(Part) if chosen.only is None else (chosen.only,)
    plan = replace(plan, parts=parts, connections=chosen.connections, sides=tuple(chosen.sides))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            results, features = runner.run(measure(plan))
    except BenchFailure as failure:
        print(f"no figures: {failure}", file=sys.stderr)
        return FAILED
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("stopped; every server has ended", file=sys.stderr)
        return INTERRUPTED
    print(document(results, features) if chosen.json else text(results, features))
    missed = [bar for bar in (*bars(results), *feature_bars(features)) if not bar.is_met]
    return CHECKS_FAILED if chosen.check and missed else 0


def text(results: Results, features: Features) -> str:
    """Return the report for people."""
    parts = [as_text(results), *feature_tables(features)]
    judged = feature_bars(features)
    return "\n\n".join([*parts, *(["\n".join(["bars of the features", *map(bar_line, judged)])] if judged else [])])


def document(results: Results, features: Features) -> str:
    """Return the report for programs."""
    found = json.loads(as_json(results)) | {"features": feature_document(features)}
    found["bars"] += [asdict(bar) | {"met": bar.is_met} for bar in feature_bars(features)]
    return json.dumps(found, indent=2)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="exit codes: 0 ok, 1 failed, 2 usage, 5 a bar missed")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    parser.add_argument("--quick", action="store_true", help="a rough picture in a few minutes")
    parser.add_argument("--check", action="store_true", help="exit with 5 when a bar is missed")
    parser.add_argument("--connections", type=int, default=16, help="how many call at once (default 16)")
    parser.add_argument("--only", type=Part, choices=list(Part), help="one part of the benchmark (default: all)")
    parser.add_argument(
        "--sides", type=Side, nargs="+", choices=list(Side), default=list(Side), help="of the part sdk; default: all"
    )
    chosen = parser.parse_args(arguments)
    if not 1 <= chosen.connections <= 256:
        parser.error(f"--connections {chosen.connections}: expected 1 to 256")
    return chosen


async def measure(plan: Plan) -> tuple[Results, Features]:
    """Measure what `plan` says; no server outlives the call."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    sessions = allow_files(plan.sessions)
    cores = choose_cores()
    if cores.client is not None:
        os.sched_setaffinity(0, {cores.client})
    started = time.perf_counter()
    results = Results({}, {}, [], [], cores, 0.0)
    if Part.SDK in plan.parts:
        results = await measure_sdk(plan, cores, sessions)
    pace = Pace(plan.rounds, plan.warm_up_s, plan.slice_s, plan.connections)
    hops = await measure_hops(pace, cores, say) if Part.HOPS in plan.parts else Hops()
    features = await measure_features(pace, cores, say) if Part.FEATURES in plan.parts else Features()
    return replace(results, hops=hops, took_s=time.perf_counter() - started), features


async def measure_sdk(plan: Plan, cores: Cores, sessions: int) -> Results:
    """Measure portside as a server next to the SDK: load, memory and start."""
    slices = await measure_load(plan, cores)
    memory = await measure_memory(plan, cores, sessions)
    health: list[Start] = []
    help_page: list[Start] = []
    if Side.PORTSIDE in plan.sides:
        say("start of portside")
        health = [await measure_health(cores) for _ in range(plan.starts)]
        help_page = [measure_help(cores) for _ in range(plan.starts + 1)][1:]  # the first one fills the caches
    return Results(slices, memory, health, help_page, cores, 0.0)


async def measure_load(plan: Plan, cores: Cores) -> dict[Row, list[Slice]]:
    """Put load on every row in every round, with new server processes in each round."""
    wanted = rows(plan.connections, plan.sides)
    slices: dict[Row, list[Slice]] = {row: [] for row in wanted}
    for number in range(plan.rounds):
        say(f"round {number + 1} of {plan.rounds}")
        with ExitStack() as stack:
            servers: dict[Side, ServerProcess] = {}
            for side in plan.sides:
                servers[side] = stack.enter_context(server(side, cores.server))
                await wait_for_call(servers[side])
            for row in wanted if number % 2 == 0 else reversed(wanted):  # A B, then B A: drift hits both alike
                slices[row].append(await measure_row(servers[row.side], row, plan))
    return slices


async def measure_row(process: ServerProcess, row: Row, plan: Plan) -> Slice:
    """Warm one row up and measure it."""
    load = await connected(process, row.era, row.tool, row.connections)
    try:
        await load.run(plan.warm_up_s)
        return await load.run(plan.slice_s)
    finally:
        load.close()


async def measure_memory(plan: Plan, cores: Cores, sessions: int) -> dict[Side, SessionMemory]:
    """Measure sessions on a new process of each rival."""
    memory: dict[Side, SessionMemory] = {}
    for side in (Side.PORTSIDE, Side.SDK):
        if side in plan.sides:
            say(f"memory of {sessions} sessions, {side.value}")
            with server(side, cores.server, settle=True) as process:
                memory[side] = await measure_sessions(process, sessions)
    return memory


def say(line: str) -> None:
    """Tell the reader how far the run is."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
