"""Load on MCP over HTTP at a fixed rate, whatever the answers do: both eras, short calls and streams, each judged.

`python -m tests.faults.load PORT [RATE] [SECONDS]` runs it against a server of `tests.faults.server` that runs.
"""

import asyncio
import random
import secrets
import ssl
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from portside.wire.sse import Event
from tests.faults.calls import Call, answers, initialize, initialized, request, resume
from tests.faults.judge import Outcome, Verdict, judge
from tests.faults.report import Plan, Report
from tests.faults.wire import Answer, Connections

_PAUSE_S: Final = 0.05


async def load(
    ports: Sequence[int], plan: Plan, *, tls: ssl.SSLContext | None = None, until: asyncio.Event | None = None
) -> Report:
    """Put load on a front, or on replicas in turn, as the plan says; `until` ends it earlier, once set.

    Returns when every call has been judged. Calls are sent when they are due, however slow the answers are.
    """
    ways = [Connections(port, tls) for port in ports]
    try:
        return await _Load(ways, plan).run(until or asyncio.Event())
    finally:
        for way in ways:
            way.close()


class _Load:
    """One load at work."""

    def __init__(self, ways: Sequence[Connections], plan: Plan) -> None:
        self._ways = ways
        self._plan = plan
        self._chance = random.Random(plan.seed)
        self._prefix = secrets.token_hex(4)
        self._next_way = 0
        self._sessions: list[str] = []
        self._report = Report()

    async def run(self, until: asyncio.Event) -> Report:
        plan, report, loop = self._plan, self._report, asyncio.get_running_loop()
        if plan.legacy > 0:
            self._sessions = list(await asyncio.gather(*(self._open() for _ in range(plan.sessions))))
        began, cpu = loop.time(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for number in range(1, int(plan.rate * plan.seconds) + 1):
                await asyncio.sleep(began + number / plan.rate - loop.time())
                if until.is_set():
                    break
                group.create_task(self._one(self._call(number)))
        report.wall_s, report.cpu_s = loop.time() - began, time.process_time() - cpu
        return report

    def _call(self, number: int) -> Call:
        plan = self._plan
        (tool,) = self._chance.choices(list(plan.mix), list(plan.mix.values()))
        if tool in ("slow", "slow_read"):
            return Call(
                number, f"{self._prefix}-{number}", tool, self._chance.uniform(0.2, 1) * plan.stream_s, plan.steps
            )
        return Call(number, f"{self._prefix}-{number}", tool)

    async def _one(self, call: Call) -> None:
        plan, began = self._plan, asyncio.get_running_loop().time()
        place = self._chance.randrange(plan.sessions) if self._chance.random() < plan.legacy else None
        verdict = await self._attempt(call, place)
        while plan.is_keyed and verdict.outcome in _AGAIN and self._left(began) > 0:
            self._report.reissued += 1
            await asyncio.sleep(_PAUSE_S)
            call = replace(call, attempt=call.attempt + 1)
            verdict = await self._attempt(call, place)
        self._report.add(call, verdict, asyncio.get_running_loop().time() - began - call.seconds)

    async def _attempt(self, call: Call, place: int | None) -> Verdict:
        session = None if place is None else self._sessions[place]
        sent = request(call, session, key=call.id if self._plan.is_keyed else None)
        answer = await self._way().ask(sent, timeout_s=self._plan.timeout_s)
        if session is None or answer is None:
            return judge(call, answer)
        if answer.status == 404 and place is not None:
            await self._reopen(place, session)
        before: list[Event] = []
        if not answer.is_complete and answer.events:
            answer, before = await self._resumed(call, session, answer)
        return judge(call, answer, before)

    async def _resumed(self, call: Call, session: str, broken: Answer) -> tuple[Answer, list[Event]]:
        """Ask for what is missing of a broken stream until it has its answer, is refused, or patience is over."""
        began, heard, answer = asyncio.get_running_loop().time(), list(broken.events), broken
        while (left := self._left(began)) > 0:
            last = next((event.id for event in reversed(heard) if event.id), None)
            if last is None:
                break
            self._report.resumed += 1
            got = await self._way().ask(
                resume(session, last), timeout_s=left, is_last=lambda event: answers(event.data, call.request_id)
            )
            if got is not None and got.status:
                answer = got
                if got.status < 500 and not got.events and got.status != 200:
                    return got, heard  # refused for good
                if got.is_complete and any(answers(event.data, call.request_id) for event in got.events):
                    return got, heard
                heard += got.events
            await asyncio.sleep(_PAUSE_S)
        return Answer(status=answer.status, is_late=True), heard

    async def _open(self) -> str:
        for _ in range(50):
            answer = await self._way().ask(initialize(), timeout_s=self._plan.timeout_s)
            if answer is not None and answer.status == 200 and answer.is_complete:
                session = answer.headers["mcp-session-id"]
                await self._way().ask(initialized(session), timeout_s=self._plan.timeout_s)
                return session
            await asyncio.sleep(_PAUSE_S)
        raise ConnectionError(f"no session could be opened at {[way.port for way in self._ways]}")

    async def _reopen(self, place: int, lost: str) -> None:
        """Open a session anew, as clients must that are told 404 (MCP 2025-11-25, Session Management)."""
        if self._sessions[place] == lost:
            self._report.lost_sessions += 1
            self._sessions[place] = await self._open()

    def _way(self) -> Connections:
        self._next_way = (self._next_way + 1) % len(self._ways)
        return self._ways[self._next_way]

    def _left(self, began: float) -> float:
        return self._plan.patience_s - (asyncio.get_running_loop().time() - began)


_AGAIN: Final = frozenset({Outcome.BROKEN, Outcome.LATE, Outcome.UNREACHABLE, Outcome.UNCLEAR})


if __name__ == "__main__":
    port, rate, seconds = (*(float(word) for word in sys.argv[1:4]), 200.0, 10.0)[:3]
    print(asyncio.run(load([int(port)], Plan(rate=rate, seconds=seconds))))
