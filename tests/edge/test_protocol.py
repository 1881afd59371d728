"""The bounds on a connection, before there is a request: over real sockets, each server in this process."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from portside.edge.asgi import Receive, Scope, Send
from portside.edge.stack import EdgeOptions, build
from portside.observe.record import Record
from portside.serve import server
from portside.serve.protocol import protocol_class
from tests.edge.asked import answer
from tests.journeys.raw import Connection, get, post

pytestmark = pytest.mark.anyio


@dataclass
class Running:
    """A server and what has reached its application."""

    port: int
    bodies: list[bytes] = field(default_factory=list[bytes])
    headers: list[list[tuple[bytes, bytes]]] = field(default_factory=list[list[tuple[bytes, bytes]]])
    opened: list[Connection] = field(default_factory=list[Connection])
    records: asyncio.Queue[Record] = field(default_factory=asyncio.Queue[Record])
    began: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.bodies.append(scope["portside.body"])
        self.headers.append(scope["headers"])
        if scope["path"] == "/slow":
            self.began.release()
            await self.go.wait()
        await answer(send, headers=[(b"content-length", b"3")])

    async def open(self) -> Connection:
        connection = await Connection.open(self.port)
        self.opened.append(connection)
        return connection


@asynccontextmanager
async def serving(
    *,
    header_timeout_s: float = 30,
    max_header_bytes: int = 2000,
    max_url_bytes: int = 200,
    max_connections: int = 100,
    idle_timeout_s: float = 30,
) -> AsyncGenerator[Running]:
    sock = server.bind("127.0.0.1", 0)
    running = Running(sock.getsockname()[1])
    protocol = protocol_class(
        header_timeout_s=header_timeout_s,
        max_header_bytes=max_header_bytes,
        max_url_bytes=max_url_bytes,
        max_connections=max_connections,
    )
    made = server.make(
        build(running, EdgeOptions(), running.records.put_nowait), protocol, idle_timeout_s=idle_timeout_s
    )
    task = asyncio.create_task(made.serve(sockets=[sock]))
    try:
        async with asyncio.timeout(10):
            yield running
    finally:
        running.go.set()
        for connection in running.opened:
            connection.close()
        made.should_exit = True
        await task


def head(size: int) -> bytes:
    """Return a GET of exactly `size` bytes."""
    empty = get("/a", {"X-Long": ""})
    return get("/a", {"X-Long": "a" * (size - len(empty))})


# -- slow ----------------------------------------------------------------------------------------


async def test_a_later_head_on_a_kept_connection_has_a_deadline_too() -> None:
    async with serving(header_timeout_s=0.2) as running:
        connection = await running.open()
        assert (await connection.ask(get("/a"))).status == 200
        connection.send(b"GET /a HTTP/1.1\r\nHost: local")
        assert (await connection.closed()).startswith(b"HTTP/1.1 408 ")
        assert len(running.bodies) == 1


async def test_a_drip_of_bytes_does_not_put_the_deadline_off() -> None:
    async with serving(header_timeout_s=0.2) as running:
        connection = await running.open()
        connection.send(b"GET /a HTTP/1.1\r\n")
        closed = asyncio.create_task(connection.closed())
        while not closed.done():
            connection.send(b"X-A: b\r\n")
            await asyncio.wait({closed}, timeout=0.02)
        assert closed.result().startswith(b"HTTP/1.1 408 ")


async def test_a_head_in_single_bytes_is_read_if_it_comes_in_time() -> None:
    async with serving() as running:
        connection = await running.open()
        for byte in get("/a"):
            connection.send(bytes([byte]))
            await connection.writer.drain()
            await asyncio.sleep(0)
        assert (await connection.reply()).status == 200


async def test_the_deadline_of_a_head_does_not_end_a_slow_answer() -> None:
    async with serving(header_timeout_s=0.1) as running:
        connection = await running.open()
        connection.send(get("/slow"))
        await running.began.acquire()
        asyncio.get_running_loop().call_later(0.3, running.go.set)
        assert (await connection.reply()).status == 200


# -- long ----------------------------------------------------------------------------------------


async def test_a_url_may_be_as_long_as_the_limit() -> None:
    async with serving() as running:
        connection = await running.open()
        assert (await connection.ask(get("/" + "a" * 199))).status == 200


async def test_a_url_in_one_piece_may_not_be_longer() -> None:
    async with serving() as running:
        connection = await running.open()
        connection.send(get("/" + "a" * 200))
        assert (await connection.closed()).startswith(b"HTTP/1.1 414 ")
        assert running.bodies == []


async def test_a_long_url_is_refused_while_it_comes_and_closed() -> None:
    async with serving() as running:
        connection = await running.open()
        connection.send(b"GET /" + b"a" * 150)
        await connection.writer.drain()
        connection.send(b"a" * 150)
        assert (await connection.closed()).startswith(b"HTTP/1.1 414 ")
        assert running.bodies == []


async def test_urls_of_one_connection_are_measured_one_by_one() -> None:
    async with serving() as running:
        connection = await running.open()
        for _ in range(3):
            assert (await connection.ask(get("/" + "a" * 150))).status == 200


@pytest.mark.parametrize(("size", "expected"), [(2000, 200), (2005, 431), (20_000, 431)])
async def test_a_head_in_one_piece_may_be_as_long_as_the_limit(size: int, expected: int) -> None:
    async with serving() as running:
        connection = await running.open()
        assert (await connection.ask(head(size))).status == expected


async def test_a_later_head_in_pieces_is_measured_too() -> None:
    async with serving() as running:
        connection = await running.open()
        assert (await connection.ask(head(1500))).status == 200
        assert (await connection.ask(head(1500))).status == 200
        connection.send(head(5000)[:1000])
        await connection.writer.drain()
        connection.send(head(5000)[1000:4000])
        assert (await connection.closed()).startswith(b"HTTP/1.1 431 ")
        assert len(running.bodies) == 2


async def test_a_refused_client_that_goes_on_sending_still_reads_the_answer() -> None:
    async with serving() as running:
        connection = await running.open()
        connection.send(head(200_000))
        received = await connection.closed()
    assert received.startswith(b"HTTP/1.1 431 ")
    assert b"connection: close" in received


@pytest.mark.parametrize("at", [None, 10, -3])
async def test_a_body_longer_than_a_head_may_be_is_no_long_head(at: int | None) -> None:
    body = b"x" * 100_000
    request = post(body)
    cut = len(request) - len(body) + at if at is not None else None
    async with serving() as running:
        connection = await running.open()
        if cut is not None:
            connection.send(request[:cut])
            await connection.writer.drain()
            await asyncio.sleep(0.01)  # the two may also arrive as one: then there is nothing to see
            connection.send(request[cut:])
        else:
            connection.send(request)
        assert (await connection.reply()).status == 200
        assert running.bodies == [body]


@pytest.mark.parametrize(
    ("next_", "status"), [(head(50_000)[:-4], b"431"), (get("/" + "a" * 300), b"414"), (b"\x00\r\n\r\n", b"400")]
)
async def test_what_is_refused_under_an_open_answer_is_refused_after_it(next_: bytes, status: bytes) -> None:
    """RFC 9112 §9.3.2: answers come in the order of the requests."""
    async with serving() as running:
        connection = await running.open()
        connection.send(get("/slow"))
        await running.began.acquire()
        connection.send(next_)
        await connection.writer.drain()
        running.go.set()
        assert (await connection.reply()).status == 200
        assert (await connection.closed()).startswith(b"HTTP/1.1 " + status)
        assert len(running.bodies) == 1


async def test_an_open_answer_is_not_ended_by_a_next_head_that_is_slow() -> None:
    """RFC 9112 §2.2: an empty line after a body is no request."""
    async with serving(header_timeout_s=0.1) as running:
        connection = await running.open()
        connection.send(get("/slow"))
        await running.began.acquire()
        connection.send(b"\r\n")
        asyncio.get_running_loop().call_later(0.3, running.go.set)
        assert (await connection.reply()).status == 200


# -- many ----------------------------------------------------------------------------------------


async def test_connections_over_the_limit_get_503_and_are_closed() -> None:
    async with serving(max_connections=2) as running:
        inside = [await running.open() for _ in range(2)]
        for one in inside:
            assert (await one.ask(get("/a"))).status == 200
        over = await running.open()
        received = await over.closed()
        assert received.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in received
        assert b"connection: close" in received
        for one in inside:
            assert (await one.ask(get("/a"))).status == 200
        assert len(running.bodies) == 4


async def test_a_connection_that_ends_makes_room_for_another() -> None:
    async with serving(max_connections=1) as running:
        for _ in range(3):
            connection = await running.open()
            assert (await connection.ask(get("/a", {"Connection": "close"}))).status == 200
            assert await connection.closed() == b""


async def test_a_refused_connection_keeps_nobody_out() -> None:
    async with serving(max_connections=1) as running:
        first = await running.open()
        assert (await first.ask(get("/a"))).status == 200
        assert (await (await running.open()).closed()).startswith(b"HTTP/1.1 503 ")
        first.send(get("/a", {"Connection": "close"}))
        await first.closed()
        assert (await (await running.open()).ask(get("/a"))).status == 200


# -- the body, over a real connection ------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        post(b"{}" * 50, {"Content-Length": "101"}),
        post(b"", {"Content-Length": "1"}),
        get("/a", {"Transfer-Encoding": "chunked"}, method="POST") + b"2\r\n{}\r\n",
        get("/a", {"Transfer-Encoding": "chunked"}, method="POST") + b"2\r\n{}\r\n0\r\n",
        get("/a", {"Transfer-Encoding": "chunked"}, method="POST") + b"5\r\n{}",
    ],
)
async def test_a_client_that_leaves_in_the_middle_of_a_body_has_asked_nothing(request_: bytes) -> None:
    async with serving() as running:
        connection = await running.open()
        connection.send(request_)
        await connection.writer.drain()
        connection.close()
        record = await running.records.get()
        assert (record.status, record.outcome) == (0, "cancelled")
        assert running.bodies == []


async def test_a_whole_chunked_body_arrives_whole() -> None:
    async with serving() as running:
        connection = await running.open()
        connection.send(get("/a", {"Transfer-Encoding": "chunked"}, method="POST"))
        for chunk in (b"1\r\n{\r\n", b"1;name=value\r\n}\r\n", b"0\r\n\r\n"):
            connection.send(chunk)
            await connection.writer.drain()
        assert (await connection.reply()).status == 200
        assert running.bodies == [b"{}"]


async def test_trailers_that_come_late_are_not_headers() -> None:
    async with serving() as running:
        connection = await running.open()
        connection.send(get("/a", {"Transfer-Encoding": "chunked", "Expect": "100-continue"}, method="POST"))
        assert (await connection.head())[0] == 100  # the head has been judged
        connection.send(b"2\r\n{}\r\n0\r\nX-Forwarded-For: 1.1.1.1\r\nMcp-Name: other\r\n\r\n")
        assert (await connection.reply()).status == 200
        names = {name for name, _ in running.headers[0]}
        assert running.bodies == [b"{}"]
        assert names.isdisjoint({b"x-forwarded-for", b"mcp-name"})


async def test_requests_sent_at_once_are_answered_one_after_the_other() -> None:
    async with serving() as running:
        connection = await running.open()
        connection.send(post(b"1") + post(b"2") + get("/a"))
        assert [(await connection.reply()).status for _ in range(3)] == [200, 200, 200]
        assert running.bodies == [b"1", b"2", b""]


# -- answers and afterwards ----------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "HEAD"])
async def test_what_every_answer_says_is_in_the_last_head_and_no_other(method: str) -> None:
    async with serving() as running:
        connection = await running.open()
        if method == "POST":
            connection.send(get("/a", {"Content-Length": "2", "Expect": "100-continue"}, method="POST"))
            assert await connection.head() == (100, {})
            connection.send(b"{}")
        else:
            connection.send(get("/a", method="HEAD"))
        status, headers = await connection.head()
        assert (status, headers["content-length"]) == (200, "3")
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
        assert "strict-transport-security" not in headers


async def test_a_connection_that_rests_for_too_long_is_closed_and_one_in_use_is_not() -> None:
    async with serving(idle_timeout_s=1) as running:
        resting, used = await running.open(), await running.open()
        loop, closed = asyncio.get_running_loop(), asyncio.create_task(resting.closed())
        resting.send(get("/a"))
        began = loop.time()
        for _ in range(5):
            assert (await used.ask(get("/a"))).status == 200
            await asyncio.sleep(0.35)
        assert (await closed).startswith(b"HTTP/1.1 200 ")
        assert (await used.ask(get("/a"))).status == 200
        rested = loop.time()
        assert await used.closed() == b""
        assert loop.time() - rested > 0.9
        assert rested - began > 1.5


async def test_a_connection_keeps_its_own_state_out_of_the_dictionary_it_has_from_uvicorn() -> None:
    """With more than thirty attributes an instance has a dictionary to itself, of 1.7 KB for each connection."""
    config = uvicorn.Config(answer, log_config=None)
    config.load()
    protocol = protocol_class(header_timeout_s=30, max_header_bytes=2000, max_url_bytes=200, max_connections=100)
    ours = protocol(config, ServerState(), dict[str, Any]())
    theirs = HttpToolsProtocol(config, ServerState(), dict[str, Any]())
    assert vars(ours).keys() == vars(theirs).keys()
    assert sys.getsizeof(vars(ours)) < 1000
