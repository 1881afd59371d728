"""Clients that ask for much and read nothing (reliability row B7): little memory each, and dropped when time is up."""

import asyncio
import socket
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final

import pytest

from tests.hostile.attack import dialled
from tests.hostile.pouring import BLOCK, SEND_S, pouring
from tests.hostile.stage import TARGET, resident_bytes
from tests.journeys.raw import Connection, call, get
from tests.processes import portside

pytestmark = pytest.mark.anyio

KIB: Final = 1024
CLIENTS: Final = 200


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@contextmanager
def unread(port: int, request: bytes) -> Generator[socket.socket]:
    """Hold a connection that has sent a request and reads nothing, with little room on its side."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * KIB)
        sock.connect(("127.0.0.1", port))
        sock.sendall(request)
        yield sock


async def test_who_reads_nothing_is_dropped_and_nothing_more_is_made_for_them() -> None:
    async with pouring() as running:
        with ExitStack() as stack:
            for _ in range(20):
                stack.enter_context(unread(running.port, get("/")))
            while len(running.produced) < 20:
                await asyncio.sleep(0.01)
            await running.empty()
        assert max(running.produced) <= 1024 * KIB


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
async def test_a_whole_answer_that_nobody_reads_is_not_kept(connection: str) -> None:
    async with pouring() as running:
        with unread(running.port, get("/whole", {"Connection": connection})):
            while not running.server.connections:
                await asyncio.sleep(0.01)
            await running.empty()


async def test_who_reads_a_few_bytes_now_and_then_is_dropped_too() -> None:
    async with pouring() as running:
        with unread(running.port, get("/whole")) as sock:
            sock.setblocking(False)
            ended = asyncio.create_task(_sip(sock))
            await asyncio.wait_for(running.empty(), 10)
            await asyncio.wait_for(ended, 10)


async def _sip(sock: socket.socket) -> None:
    """Read in small pieces until the connection is reset, which is how a server forgets what it has not sent."""
    with suppress(ConnectionResetError):
        while await asyncio.get_running_loop().sock_recv(sock, 200):
            await asyncio.sleep(0.02)
        pytest.fail("the answer came to an end")


async def test_who_reads_is_not_dropped_however_long_it_takes() -> None:
    async with pouring() as running, dialled(running.port) as connection:
        connection.send(get("/"))
        await connection.head()
        until = asyncio.get_running_loop().time() + 4 * SEND_S
        while asyncio.get_running_loop().time() < until:
            assert await connection.chunk() == BLOCK


async def test_what_a_request_waits_for_ends_with_its_connection_also_if_another_is_queued() -> None:
    """uvicorn tells only the newest request of a connection that its client has left."""
    async with pouring() as running:
        async with dialled(running.port) as connection:
            connection.send(get("/") + get("/"))
            await connection.head()
        await running.empty()
        while running.server.server_state.tasks:
            await asyncio.sleep(0.02)  # uvicorn says it to nobody
        assert len(running.produced) == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_streams_that_nobody_reads_take_little_memory_and_disturb_nobody() -> None:
    flood = call("pour", {"size": 4096, "count": 100_000}, progressToken="p")
    with portside(TARGET, environment={"MCP_ENV": "development"}) as running, ExitStack() as stack:
        async with dialled(running.port) as connection:
            await _echo(connection)
            before = resident_bytes(running)
            for _ in range(CLIENTS):
                stack.enter_context(unread(running.port, flood))
            for _ in range(500):
                await _echo(connection)
            assert resident_bytes(running) - before <= CLIENTS * 256 * KIB
            gauges = (await connection.ask(get("/metrics"))).body.decode().splitlines()
            assert f"mcp_calls_in_flight {CLIENTS:.1f}" in gauges


async def _echo(connection: Connection) -> None:
    assert (await connection.ask(call("echo", {"text": "good"}))).status == 200
