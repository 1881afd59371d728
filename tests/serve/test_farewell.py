"""A process that is told to stop goes on listening for whoever has not heard of it yet."""

import asyncio
import signal

import pytest

from tests.journeys.raw import Connection, Reply, call, get
from tests.processes import portside

pytestmark = pytest.mark.anyio


async def ask(port: int, request: bytes) -> Reply:
    """Ask on a connection of its own."""
    connection = await Connection.open(port)
    try:
        return await connection.ask(request)
    finally:
        connection.close()


async def test_who_comes_after_the_signal_is_answered_once_and_told_that_the_connection_ends() -> None:
    with portside("tests/faults/server.py", stop=False, environment={"MCP_ENV": "development"}) as server:
        kept = await Connection.open(server.port)
        assert (await kept.ask(call("add", {"a": 1, "b": 1}))).headers.get("connection") is None
        server.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            while (said := await ask(server.port, get("/ready"))).status == 200:
                pass
        assert said.status == 503
        answers = [await ask(server.port, call("add", {"a": 1, "b": 2})), await kept.ask(call("add", {"a": 1, "b": 2}))]
        assert [(one.status, one.headers.get("connection")) for one in answers] == [(200, "close")] * 2
        assert await asyncio.to_thread(server.process.wait, 10) == 0
        kept.close()
