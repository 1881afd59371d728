"""`kill -9` in the middle of legacy streams: each is gone on with elsewhere, every event once and in order.

Row C3 of the reliability bar; `SOAK_KILLS=1000` is the whole of it, and `-s` shows how far it is.
"""

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final

import pytest

from portside.secret import Secret
from portside.state.base import StoredEvent, Streams
from portside.state.connect import State, redis_state
from tests.faults.killing import Kills, Life, Runs, at, killing, times
from tests.faults.replicas import Cluster, replicas
from tests.faults.streaming import Client, Heard, Tool
from tests.faults.wire import Connections
from tests.redis_servers import PASSWORD

KILLS: Final = int(os.environ.get("SOAK_KILLS", "6"))
CLIENTS: Final = 12
QUIET: Final = {"LOG_LEVEL": "warning"}
TOOLS: Final[Sequence[Tool]] = ("read", "effect_idempotent", "effect")
CONTINUED_S: Final = 2.0
"""By then 99 of 100 sessions whose replica was killed have gone on."""
_NEVER_S: Final = 20.0
_SHOWN: Final = 25
_MANY: Final = 100
"""From here on the figures say something of more than one slow moment of the machine."""
_TWICE: Final = 0.1
"""How often the next replica is killed before the sessions of the last one have all gone on."""

pytestmark = [pytest.mark.anyio, pytest.mark.timing, pytest.mark.timeout(60 + 10 * KILLS)]


@dataclass
class Report:
    """What came of it. `wrong` says in words what must not be."""

    calls: Counter[str] = field(default_factory=Counter[str])
    events: int = 0
    resumed: int = 0
    runs_again: int = 0
    moved: list[float] = field(default_factory=list[float])
    moved_twice: list[float] = field(default_factory=list[float])
    wrong: list[str] = field(default_factory=list[str])

    def continued(self, client: Client, seconds: float) -> None:
        """Count one session that has gone on."""
        (self.moved_twice if client.is_killed_again else self.moved).append(seconds)

    def lines(self, kills: int, took_s: float) -> str:
        """Return the figures."""
        ends = ", ".join(f"{end} {count}" for end, count in self.calls.most_common())
        return (
            f"{kills} kills in {took_s:.0f} s, {CLIENTS} sessions: {self.calls.total()} streams ({ends}),"
            f" {self.events} events compared with those stored; resumed {self.resumed}, run again {self.runs_again},"
            f" wrong {len(self.wrong)}\n"
            f"{times('gone on after a kill', self.moved)}; {times('after a second one meanwhile', self.moved_twice)}"
            + "".join(f"\n  {one}" for one in self.wrong[-5:])
        )


async def test_streams_of_killed_replicas_go_on_elsewhere_with_every_event_once_and_in_order() -> None:
    """What was appended is read from the store itself, and compared with what the client has received."""
    report, began = Report(), time.monotonic()
    async with (
        replicas(3, server="tests/faults/server_killed.py:app", proxy="roundrobin", environment=QUIET) as cluster,
        killing(cluster) as kills,
        _state(cluster) as state,
    ):
        way = Connections(cluster.port)
        clients = [Client(way, f"c{number}", report.continued, kills.chance) for number in range(CLIENTS)]
        await asyncio.gather(*(client.open() for client in clients))
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(_stream(client, state.streams, report, ended))
            await _kill(kills, clients, Runs(cluster.effects), report)
            ended.set()
        pings = [await client.ping() for client in clients]
        took_s = time.monotonic() - began
        print(report.lines(kills.count, took_s), file=sys.stderr, flush=True)
        way.close()
        counts = cluster.effects.counts("effect")
        tracebacks = cluster.tracebacks()
    assert report.wrong == []
    assert set(pings) == {200}
    assert [id for id, count in counts.items() if count > 1] == []
    assert tracebacks == []
    assert len(report.moved) >= kills.count / 2
    if KILLS >= _MANY:
        assert at(report.moved, 0.99) <= CONTINUED_S


def _state(cluster: Cluster) -> AbstractAsyncContextManager[State]:
    """Return the replicas' own state, to look into."""
    port = 0 if cluster.redis is None else cluster.redis.port
    secret = bytes.fromhex(cluster.environment["ENCRYPTION_KEY"])
    return redis_state(f"redis://127.0.0.1:{port}/0", Secret(PASSWORD.encode()), [secret], deadline_ms=10_000)


async def _stream(client: Client, streams: Streams, report: Report, ended: asyncio.Event) -> None:
    """Call one tool after another, and compare what each call has heard with what is stored of its stream."""
    while not ended.is_set():
        heard = await client.call(client.chance.choice(TOOLS))
        report.calls[heard.end] += 1
        report.resumed += heard.resumed
        if heard.end == "broken":
            await client.ping()
            continue
        is_allowed = heard.end == "answered" or (heard.end == "unknown" and heard.tool == "effect")
        if not is_allowed:
            report.wrong.append(f"{heard.id} {heard.tool} ended {heard.end}: {heard.why}")
        if heard.primed is not None:
            tail = await streams.after(client.session, heard.primed)
            found = [*_differences(heard, [] if tail is None else tail.events), *_mixed_up(heard, report)]
            report.events += len(heard.events)
            report.wrong += [f"{heard.id} {heard.tool}: {one}" for one in found]


def _differences(heard: Heard, stored: Sequence[StoredEvent]) -> Sequence[str]:
    """Return in words what the client received otherwise than it is stored."""
    got = [(event.id, event.data.encode()) for event in heard.events]
    kept = [(event.id, event.data) for event in stored]
    if got == kept:
        return []
    twice = [id for id, count in Counter(got).items() if count > 1]
    return [f"twice {twice}, missing {set(kept) - set(got)}, made up {set(got) - set(kept)}; or out of order: {got}"]


def _mixed_up(heard: Heard, report: Report) -> Sequence[str]:
    """Return in words what is wrong with what was said: each run counts from 1, one after the other, up to its end."""
    stream = (heard.primed or "").rpartition(".")[0]
    strangers = [event.id for event in heard.events if (event.id or "").rpartition(".")[0] != stream]
    found = [f"events of other streams than {stream}: {strangers}"] if strangers else []
    runs: list[tuple[str, int]] = []
    for message in heard.messages:
        if message.get("method") == "notifications/progress":
            id, run, number = str(message["params"]["message"]).split()
            expected = runs[-1][1] + 1 if runs and runs[-1][0] == run else 1
            if id != heard.id or int(number) != expected:
                found.append(f"step {number} of run {run} of {id}, after {runs[-1:]}")
            runs.append((run, int(number)))
    begun = list(dict.fromkeys(run for run, _ in runs))
    report.runs_again += max(0, len(begun) - 1)
    if len(begun) > 1 and heard.tool == "effect":
        found.append(f"was run {len(begun)} times")
    if heard.end == "answered":
        text = str(heard.messages[-1]["result"]["content"][0]["text"])
        if not runs or text != f"{heard.id} {runs[-1][0]}" or runs[-1][1] != heard.steps:
            found.append(f"ended with {text!r} after {runs[-1:]} of {heard.steps} steps")
    return found


async def _kill(kills: Kills, clients: Sequence[Client], runs: Runs, report: Report) -> None:
    """Kill replicas on which streams run until all kills are done; each time, wait until what they had has gone on."""
    began, shown = time.monotonic(), 0
    while kills.count < KILLS:
        await kills.several(3)
        await asyncio.sleep(kills.chance.uniform(0, 0.3))  # so that kills fall anywhere between two events
        index = await _busy(kills, clients, runs)
        await _kill_one(kills, index, clients, runs)
        if kills.count < KILLS and kills.chance.random() < _TWICE:
            await asyncio.sleep(kills.chance.uniform(0, 2))  # so that it falls anywhere in the others' taking over
            await kills.several(2)
            await _kill_one(kills, kills.chance.choice(kills.ready()), clients, runs)
        for client in clients:
            if client.killed_at is not None:
                try:
                    async with asyncio.timeout(_NEVER_S):
                        await client.is_continued.wait()
                except TimeoutError:
                    report.wrong.append(f"the session of {client.name} has not gone on for {_NEVER_S:g} s")
                    client.killed_at = None
        if kills.count // _SHOWN > shown:
            shown = kills.count // _SHOWN
            print(report.lines(kills.count, time.monotonic() - began), file=sys.stderr, flush=True)


async def _busy(kills: Kills, clients: Sequence[Client], runs: Runs) -> int:
    """Return a replica on which a stream runs now."""
    while True:
        where = runs.where()
        lives = {where.get(client.running.id) for client in clients if client.running is not None}
        busy = [index for index in kills.ready() if kills.life(index) in lives]
        if busy:
            return kills.chance.choice(busy)
        await asyncio.sleep(0.02)  # other processes: there is nothing to wait on but what their tools have put down


async def _kill_one(kills: Kills, index: int, clients: Sequence[Client], runs: Runs) -> None:
    life: Life = kills.life(index)
    where = runs.where()
    for client in clients:
        is_there = client.running is not None and where.get(client.running.id) == life
        if is_there or client.killed_at is not None:
            client.killed()
    await kills.kill(index)
