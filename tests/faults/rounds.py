"""Calls of the modern era that ask their user once, made one after another by many clients while things happen."""

import asyncio
import json
import random
import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from tests.faults.wire import Answer, Connections
from tests.journeys.raw import modern

TOOLS: Final = ("ask_inside", "ask_resolved", "ask_returned")
"""Of `tests.faults.server_asking`."""

_TIMEOUT_S: Final = 30.0
_SENDS: Final = 5


@dataclass
class Tally:
    """What came of the exchanges. `resent` requests had broken before a byte of their answer came."""

    done: int = 0
    resent: int = 0
    failures: Counter[str] = field(default_factory=Counter[str])

    def __str__(self) -> str:
        lines = [f"{self.done} exchanges done, {self.failures.total()} failed, {self.resent} requests sent again"]
        return "\n".join([*lines, *(f"  {count} x {why}" for why, count in self.failures.most_common(10))])


class _Failed(Exception):
    """An exchange did not end as it must; says how."""


class Rounds:
    """Clients that ask, take their time to answer, and ask again, at one port until told to stop.

    A user takes up to `think_s` to answer. A request whose connection broke before anything of its answer came is sent
    again, as HTTP clients do with requests that may be repeated (RFC 9110 §9.2.2); `Tally` counts those.
    """

    def __init__(self, port: int, *, clients: int, think_s: float, seed: int = 7) -> None:
        self.tally = Tally()
        self._way = Connections(port)
        self._clients = clients
        self._think_s = think_s
        self._chance = random.Random(seed)
        self._prefix = secrets.token_hex(4)
        self._number = 0
        self._stopping = asyncio.Event()
        self._under_way: dict[int, asyncio.Future[None]] = {}

    async def run(self) -> None:
        """Make exchanges until `stop`; returns when the last one has ended."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._clients):
                    group.create_task(self._client())
        finally:
            self._way.close()

    def stop(self) -> None:
        """Begin no further exchange."""
        self._stopping.set()

    async def settled(self) -> None:
        """Return once every exchange that is under way now has ended; others have begun meanwhile."""
        if self._under_way:
            await asyncio.wait(list(self._under_way.values()))

    async def reached(self, count: int) -> None:
        """Return once so many exchanges have ended."""
        while self.tally.done + self.tally.failures.total() < count:
            await self.settled()
            await asyncio.sleep(0)

    async def _client(self) -> None:
        while not self._stopping.is_set():
            self._number += 1
            number = self._number
            ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._under_way[number] = ended
            try:
                await self._exchange(TOOLS[number % len(TOOLS)], number)
                self.tally.done += 1
            except _Failed as failed:
                self.tally.failures[str(failed)] += 1
            finally:
                del self._under_way[number]
                ended.set_result(None)

    async def _exchange(self, tool: str, number: int) -> None:
        id = f"{self._prefix}-{number}"
        asked = await self._result(tool, {"name": tool, "arguments": {"id": id}}, number * 2)
        if asked.get("resultType") != "input_required":
            raise _Failed(f"{tool}: the first answer was no question: {asked}")
        await asyncio.sleep(self._chance.uniform(0, self._think_s))
        (key,) = asked["inputRequests"]
        answers = {key: {"action": "accept", "content": {"word": f"w{number}"}}}
        again = {"inputResponses": answers, "requestState": asked["requestState"]}
        result = await self._result(tool, {"name": tool, "arguments": {"id": id}, **again}, number * 2 + 1)
        content: list[dict[str, Any]] = result.get("content") or [{}]
        if result.get("isError") or content[0].get("text") != f"{id} w{number}":
            raise _Failed(f"{tool}: a wrong result: {_unnamed(result, id)}")

    async def _result(self, tool: str, params: dict[str, Any], request_id: int) -> dict[str, Any]:
        sent = modern("tools/call", params, id=request_id)
        for _ in range(_SENDS):
            answer = await self._way.ask(sent, timeout_s=_TIMEOUT_S)
            if answer is not None and (answer.status or answer.is_late):
                return _read(tool, answer, request_id)
            self.tally.resent += 1
        raise _Failed(f"{tool}: the connection broke {_SENDS} times")


def _read(tool: str, answer: Answer, request_id: int) -> dict[str, Any]:
    """Return the result in an answer. Raises _Failed where there is none, or another request's."""
    if answer.is_late or not answer.is_complete:
        raise _Failed(f"{tool}: HTTP {answer.status}, incomplete after {len(answer.body)} bytes")
    data = answer.body or next((event.data.encode() for event in reversed(answer.events) if event.data), b"")
    try:
        message: dict[str, Any] = json.loads(data)
    except ValueError:
        raise _Failed(f"{tool}: HTTP {answer.status}: {data[:100]!r}") from None
    if message.get("id") != request_id:
        raise _Failed(f"{tool}: HTTP {answer.status}: an answer to another request: {message.get('error')}")
    if "result" not in message:
        raise _Failed(f"{tool}: HTTP {answer.status}: {message.get('error')}")
    return message["result"]


def _unnamed(result: object, id: str) -> str:
    return str(result).replace(id, "ID")
