"""A task is found at every replica: whoever asks about it is answered where it runs."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from portside.clock import ManualClock
from portside.errors import StateUnavailable
from portside.gateway.tasks import TaskLink, Tasks
from portside.hosting.base import Call
from portside.hosting.translated.listed import SILENT
from portside.state.base import Leases
from portside.state.memory import MemoryLeases
from portside.wire import message, refusal
from portside.wire.message import Message
from tests.translation.hosts import NewServer

pytestmark = pytest.mark.anyio

CALL = Call("modern", "2026-07-28")


def asked(method: str, **params: Any) -> Message:
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
    return message.request(1, method, {**params, "_meta": meta})


class TaskServer(NewServer):
    """A server that answers every call with a task."""

    def __init__(self, ids: list[str], ttl_ms: object = 60_000) -> None:
        super().__init__()
        self._ids = iter(ids)
        self._ttl_ms = ttl_ms
        self.handlers |= {"tools/call": self._call, "tasks/get": self._get}

    async def _call(self, asked: Message, back: Any) -> dict[str, Any]:
        return {**self._task(next(self._ids)), "resultType": "task"}

    async def _get(self, asked: Message, back: Any) -> dict[str, Any]:
        return self._task((asked.params or {})["taskId"])

    def _task(self, id_: str) -> dict[str, Any]:
        return {"taskId": id_, "status": "working", "ttlMs": self._ttl_ms}


class World:
    """Two replicas' views of one shared state."""

    def __init__(self, leases: Leases, clock: ManualClock) -> None:
        self.clock = clock
        self.tasks = {name: Tasks(leases, name, clock) for name in ("a", "b")}

    async def begin(self, at: str, server: TaskServer) -> Message:
        """Return the answer to a call that begins a task."""
        return await TaskLink(server, self.tasks[at]).request(asked("tools/call", name="long"), SILENT, CALL)

    async def owner(self, id_: str, at: str, method: str = "tasks/get") -> str | None:
        return await self.tasks[at].owner(asked(method, taskId=id_))


@asynccontextmanager
async def world() -> AsyncGenerator[World]:
    clock = ManualClock()
    yield World(MemoryLeases(clock), clock)


async def test_task_is_known_at_every_replica_once_its_client_knows_it() -> None:
    async with world() as found:
        reply = await found.begin("a", TaskServer(["t1"]))
        assert (reply.result or {})["taskId"] == "t1"
        for method in ("tasks/get", "tasks/update", "tasks/cancel"):
            assert [await found.owner("t1", at, method) for at in ("a", "b")] == ["a", "a"]


async def test_requests_about_anything_else_belong_to_nobody() -> None:
    async with world() as found:
        await found.begin("a", TaskServer(["t1"]))
        assert await found.owner("t2", "b") is None
        assert await found.owner("t1", "b", "tools/call") is None
        assert await found.tasks["b"].owner(asked("tasks/get", taskId=7)) is None


async def test_task_is_forgotten_a_while_after_its_end() -> None:
    async with world() as found:
        await found.begin("a", TaskServer(["t1"], ttl_ms=60_000))
        found.clock.advance(60 + 59)
        assert await found.owner("t1", "b") == "a"
        found.clock.advance(2)
        assert await found.owner("t1", "b") is None


async def test_task_without_end_stays_known_for_as_long_as_somebody_asks() -> None:
    async with world() as found:
        server = TaskServer(["t1"], ttl_ms=None)
        await found.begin("a", server)
        for _ in range(5):
            found.clock.advance(20 * 3600)
            await TaskLink(server, found.tasks["a"]).request(asked("tasks/get", taskId="t1"), SILENT, CALL)
            assert await found.owner("t1", "b") == "a"


async def test_task_whose_id_another_replica_gave_before_is_refused() -> None:
    """Ours: its client would be told of the other one, which may be somebody else's."""
    async with world() as found:
        await found.begin("a", TaskServer(["1"]))
        reply = await found.begin("b", TaskServer(["1"]))
        assert reply.error is not None
        assert "at another replica" in reply.error["message"]


class Away:
    """Leases that cannot be reached."""

    async def acquire(self, name: str, holder: str, *, ttl_ms: int) -> int | None:
        raise StateUnavailable("cut off")

    async def release(self, name: str, holder: str) -> bool:
        raise StateUnavailable("cut off")

    async def holder(self, name: str) -> str | None:
        raise StateUnavailable("cut off")


async def test_task_that_cannot_be_remembered_is_refused() -> None:
    """Spec: a task must be found at every replica before its client learns of it (extension tasks)."""
    found = World(Away(), ManualClock())
    reply = await found.begin("a", TaskServer(["t1"]))
    assert reply.error is not None
    assert reply.error["code"] == refusal.STATE_AWAY
    with pytest.raises(StateUnavailable):
        await found.owner("t1", "b")
