"""The HTTP client against servers that behave oddly: what is answered, what is an error, what is sent twice."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from portside.errors import HostBusy, HostGone
from portside.hosting.http.address import Address
from portside.hosting.http.client import Limits, Pool
from portside.hosting.http.response import HIGH_WATER
from portside.hosting.http.transport import Dropped, Request, Unreachable
from tests.processes import free_port
from tests.upstream.scripted import Answer, Asked, Peer, Scripted, scripted

pytestmark = pytest.mark.anyio

POST = Request(b"POST", b"/mcp", [(b"x-test", b"1")], b"{}")
REPEATABLE = replace(POST, is_repeatable=True)


@asynccontextmanager
async def pooled(answer: Answer, limits: Limits | None = None) -> AsyncGenerator[tuple[Pool, Scripted]]:
    async with scripted(answer) as server:
        pool = Pool(server.address, limits)
        try:
            async with asyncio.timeout(20):
                yield pool, server
        finally:
            await pool.close()


async def ask(pool: Pool, request: Request = POST) -> bytes:
    """Return the body of the answer."""
    response = await pool.send(request)
    try:
        return await response.read(1 << 20)
    finally:
        response.close()


async def fine(asked: Asked, peer: Peer) -> None:
    await peer.answer(200, b"fine")


def bytes_of(data: bytes) -> Answer:
    """Answer with these bytes, and leave the connection open."""

    async def answer(asked: Asked, peer: Peer) -> None:
        await peer.write(data)

    return answer


def then_close(data: bytes) -> Answer:
    """Answer with these bytes, and close the connection."""

    async def answer(asked: Asked, peer: Peer) -> None:
        await peer.write(data)
        peer.close()

    return answer


async def silence(asked: Asked, peer: Peer) -> None:
    await peer.gone()


# -- what is sent -------------------------------------------------------------------------------


async def test_a_request_names_its_host_its_length_and_its_headers() -> None:
    async with pooled(fine) as (pool, server):
        await ask(pool)
    asked = server.asked[0]
    assert (asked.method, asked.target, asked.body) == ("POST", "/mcp", b"{}")
    assert asked.headers["host"] == f"127.0.0.1:{server.port}"
    assert asked.headers["content-length"] == "2"
    assert asked.headers["x-test"] == "1"


@pytest.mark.parametrize("value", [b"a\r\nx-evil: 1", b"a\nb", b"a\0b"])
async def test_a_header_that_breaks_out_of_its_line_is_not_sent(value: bytes) -> None:
    async with pooled(fine) as (pool, server):
        with pytest.raises(ValueError, match="line break"):
            await pool.send(replace(POST, headers=[(b"x-test", value)]))
    assert server.asked == []


# -- what is answered ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", b"hi"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\nTrailer: x\r\n\r\n", b"hi"),
        (b"HTTP/1.1 204 No\r\n\r\n", b""),
        (b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 103 H\r\nLink: x\r\n\r\n" * 3 + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
    ],
)
async def test_an_answer_is_read_in_any_of_its_forms_and_the_connection_kept(data: bytes, body: bytes) -> None:
    async with pooled(bytes_of(data)) as (pool, server):
        assert await ask(pool) == body
        assert await ask(pool) == body
    assert server.connections == 1


async def test_interim_headers_are_not_the_answers() -> None:
    interim = b"HTTP/1.1 103 H\r\nX-A: early\r\n\r\n"
    data = interim + b"HTTP/1.1 200 OK\r\nX-A: late\r\nX-B: 1\r\nx-b: 2\r\nContent-Length: 0\r\n\r\n"
    async with pooled(bytes_of(data)) as (pool, _):
        response = await pool.send(POST)
    assert response.headers == {b"x-a": b"late", b"x-b": b"1, 2", b"content-length": b"0"}


async def test_a_body_without_a_length_ends_with_its_connection() -> None:
    async with pooled(then_close(b"HTTP/1.0 200 OK\r\n\r\nall of it")) as (pool, server):
        assert await ask(pool) == b"all of it"
        assert await ask(pool) == b"all of it"
    assert server.connections == 2


async def test_an_answer_that_closes_its_connection_is_whole() -> None:
    data = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"
    async with pooled(bytes_of(data)) as (pool, server):
        assert await ask(pool) == b"hi"
        assert await ask(pool) == b"hi"
    assert server.connections == 2


async def test_a_second_answer_nobody_asked_for_reaches_nobody() -> None:
    one = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
    async with pooled(bytes_of(one + b"own" + one + b"odd")) as (pool, server):
        assert await ask(pool) == b"own"
        assert await ask(pool) == b"own"
    assert server.connections == 2


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"220 smtp.example.com\r\n\r\n", "no valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi", "no valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nhi", "no valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhi", "transfer encoding"),
        (b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "switched protocols"),
        (b"HTTP/1.1 102 P\r\n\r\n" * 20, "interim"),
        (b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: 1\r\n" % n for n in range(300)) + b"\r\n", "headers"),
        (b"HTTP/1.1 200 OK\r\nx-long: " + b"a" * 70_000, "head of more than"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "no valid HTTP"),
    ],
)
async def test_what_is_no_answer_is_an_error_that_names_the_server(data: bytes, says: str) -> None:
    async with pooled(bytes_of(data)) as (pool, server):
        with pytest.raises(HostGone, match=says) as caught:
            await ask(pool)
    assert server.address.origin in caught.value.message
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ],
)
async def test_an_answer_that_breaks_off_is_an_error_and_not_asked_for_again(data: bytes) -> None:
    async with pooled(then_close(data)) as (pool, server):
        with pytest.raises(HostGone, match="broke off"):
            await ask(pool, REPEATABLE)
    assert len(server.asked) == 1


async def test_a_body_over_the_limit_is_an_error_and_ends_the_connection() -> None:
    left = asyncio.Event()

    async def answer(asked: Asked, peer: Peer) -> None:
        await peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 5000)
        await peer.gone()
        left.set()

    async with pooled(answer) as (pool, _):
        response = await pool.send(POST)
        with pytest.raises(HostGone, match="more than 1000 bytes"):
            await response.read(1000)
        await left.wait()


async def test_a_reader_that_is_behind_makes_the_server_wait() -> None:
    size = 64 * HIGH_WATER
    sent = 0

    async def answer(asked: Asked, peer: Peer) -> None:
        nonlocal sent
        await peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            await peer.write(b"x" * 65536)
            sent += 65536

    async with pooled(answer) as (pool, _):
        response = await pool.send(POST)
        before = -1
        while before != sent:  # until the server gets no further
            before = sent
            for _ in range(200):
                await asyncio.sleep(0)
        assert sent < size
        received = 0
        while chunk := await response.chunk():
            received += len(chunk)
        assert received == size


# -- time-outs ----------------------------------------------------------------------------------


async def test_a_server_that_never_answers_is_given_up() -> None:
    async with pooled(silence, Limits(head_s=0.05)) as (pool, _):
        with pytest.raises(HostGone, match="did not answer within"):
            await ask(pool)


async def test_a_head_that_drips_is_given_up_all_the_same() -> None:
    async def answer(asked: Asked, peer: Peer) -> None:
        await peer.write(b"HTTP/1.1 200 OK\r\nx: ")
        while True:
            await peer.write(b"a")
            await asyncio.sleep(0)

    async with pooled(answer, Limits(head_s=0.1)) as (pool, _):
        with pytest.raises(HostGone, match="did not answer within"):
            await ask(pool)


async def test_a_body_that_stops_is_given_up_unless_it_is_a_lasting_one() -> None:
    async def answer(asked: Asked, peer: Peer) -> None:
        await peer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
        await peer.gone()

    async with pooled(answer, Limits(read_s=0.05)) as (pool, _):
        lasting = await pool.send(replace(POST, is_lasting=True))
        assert await lasting.chunk() == b"hi"
        with pytest.raises(HostGone, match="sent nothing for"):
            await ask(pool)
        more = asyncio.ensure_future(lasting.chunk())
        with pytest.raises(HostGone, match="sent nothing for"):
            await ask(pool)
        assert not more.done()
        more.cancel()
        lasting.close()


async def test_an_idle_connection_is_closed_after_a_while() -> None:
    async with pooled(fine, Limits(idle_s=0.05)) as (pool, _):
        await ask(pool)
        assert pool.open_connections == 1
        while pool.open_connections:
            await asyncio.sleep(0)


async def test_a_server_that_keeps_connections_only_briefly_is_believed() -> None:
    data = b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nhi"
    async with pooled(bytes_of(data)) as (pool, server):
        await ask(pool)
        await ask(pool)
    assert server.connections == 2


# -- sending twice, or not ----------------------------------------------------------------------


async def test_a_kept_connection_that_was_closed_is_noticed_before_anything_is_written() -> None:
    closed = asyncio.Event()

    async def answer(asked: Asked, peer: Peer) -> None:
        await peer.answer(200, b"fine")
        if asked.connection == 1:
            peer.close()
            closed.set()

    async with pooled(answer) as (pool, server):
        await ask(pool)
        await closed.wait()
        assert await ask(pool) == b"fine"  # a POST that must not be repeated, and was not
    assert len(server.asked) == 2


def drops_second(asked: Asked, peer: Peer) -> Awaitable[None]:
    async def drop() -> None:
        peer.close()

    second = asked.connection == 1 and asked.headers.get("x-second") is not None
    return drop() if second else peer.answer(200, b"fine")


SECOND = [(b"x-second", b"1")]


async def test_a_request_that_may_have_been_done_is_not_sent_again() -> None:
    async with pooled(drops_second) as (pool, server):
        await ask(pool)
        with pytest.raises(Dropped, match="outcome is unknown"):
            await ask(pool, replace(POST, headers=SECOND))
    assert len(server.asked) == 2


async def test_a_repeatable_request_is_sent_once_more_on_a_fresh_connection() -> None:
    async with pooled(drops_second) as (pool, server):
        await ask(pool)
        assert await ask(pool, replace(REPEATABLE, headers=SECOND)) == b"fine"
    assert [asked.connection for asked in server.asked] == [1, 1, 2]


async def test_a_fresh_connection_that_drops_is_not_tried_again() -> None:
    async with pooled(then_close(b"")) as (pool, server):
        with pytest.raises(Dropped):
            await ask(pool, REPEATABLE)
    assert len(server.asked) == 1


async def test_nobody_listening_is_unreachable() -> None:
    port = free_port()
    pool = Pool(Address("http", "127.0.0.1", port, b"/mcp"))
    with pytest.raises(Unreachable, match=f"127.0.0.1:{port} cannot be connected to"):
        await pool.send(POST)
    await pool.close()


async def test_a_name_that_does_not_exist_is_unreachable() -> None:
    pool = Pool(Address("http", "nowhere.invalid", 80, b"/mcp"))
    with pytest.raises(Unreachable, match=r"nowhere\.invalid"):
        await pool.send(POST)
    await pool.close()


# -- many at once -------------------------------------------------------------------------------


def held(opened: asyncio.Event) -> Answer:
    async def answer(asked: Asked, peer: Peer) -> None:
        await opened.wait()
        await peer.answer(200, asked.headers["x-test"].encode())

    return answer


@pytest.mark.parametrize("connections", [1, 3])
async def test_more_requests_than_connections_wait_in_line_and_get_their_own_answers(connections: int) -> None:
    opened = asyncio.Event()
    async with pooled(held(opened), Limits(max_connections=connections)) as (pool, server):
        requests = [replace(POST, headers=[(b"x-test", b"%d" % n)]) for n in range(20)]
        tasks = [asyncio.ensure_future(ask(pool, request)) for request in requests]
        async with server.changed:
            await server.changed.wait_for(lambda: len(server.asked) == connections)
        opened.set()
        assert await asyncio.gather(*tasks) == [b"%d" % n for n in range(20)]
    assert server.connections == connections
    if connections == 1:
        assert [asked.headers["x-test"] for asked in server.asked] == [str(n) for n in range(20)]


async def test_a_wait_for_a_connection_ends_as_busy_with_nothing_sent() -> None:
    async with pooled(silence, Limits(max_connections=1, wait_s=0.05)) as (pool, server):
        first = asyncio.ensure_future(ask(pool))
        async with server.changed:
            await server.changed.wait_for(lambda: len(server.asked) == 1)
        with pytest.raises(HostBusy, match="none of 1 connections"):
            await ask(pool)
        first.cancel()
        assert len(server.asked) == 1


async def test_who_stops_waiting_passes_its_turn_on() -> None:
    opened = asyncio.Event()
    async with pooled(held(opened), Limits(max_connections=1)) as (pool, server):
        tasks = [asyncio.ensure_future(ask(pool)) for _ in range(5)]
        async with server.changed:
            await server.changed.wait_for(lambda: len(server.asked) == 1)
        tasks[1].cancel()
        tasks[3].cancel()
        opened.set()
        done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [one if isinstance(one, bytes) else type(one) for one in done] == [
        b"1",
        asyncio.CancelledError,
        b"1",
        asyncio.CancelledError,
        b"1",
    ]


async def test_a_failed_connection_gives_its_place_back() -> None:
    async def answer(asked: Asked, peer: Peer) -> None:
        peer.abort()

    async with pooled(answer, Limits(max_connections=1, wait_s=5)) as (pool, _):
        done = await asyncio.gather(*(ask(pool) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(one, HostGone) and not isinstance(one, HostBusy) for one in done)


async def test_lasting_streams_do_not_take_the_connections_of_calls() -> None:
    async def answer(asked: Asked, peer: Peer) -> None:
        if asked.method == "GET":
            await peer.open_stream()
            await peer.gone()
        else:
            await peer.answer(200, b"fine")

    async with pooled(answer, Limits(max_connections=1, max_streams=3)) as (pool, _):
        stream = Request(b"GET", b"/mcp", [], is_lasting=True)
        streams = [await pool.send(stream) for _ in range(3)]
        assert await ask(pool) == b"fine"
        with pytest.raises(HostBusy, match="all 3 streams"):
            await pool.send(stream)
        streams[0].close()
        while pool.open_connections > 3:
            await asyncio.sleep(0)
        (await pool.send(stream)).close()


async def test_cancelling_a_request_closes_its_connection() -> None:
    left = asyncio.Event()

    async def answer(asked: Asked, peer: Peer) -> None:
        await peer.gone()
        left.set()

    async with pooled(answer) as (pool, server):
        task = asyncio.ensure_future(ask(pool))
        async with server.changed:
            await server.changed.wait_for(lambda: len(server.asked) == 1)
        task.cancel()
        await left.wait()
        while pool.open_connections:
            await asyncio.sleep(0)


async def test_closing_the_pool_fails_what_runs_and_what_comes() -> None:
    async with pooled(silence, Limits(max_connections=1)) as (pool, server):
        tasks = [asyncio.ensure_future(ask(pool)) for _ in range(3)]
        async with server.changed:
            await server.changed.wait_for(lambda: len(server.asked) == 1)
        await pool.close()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, HostGone) and "closed" in one.message for one in done)
        with pytest.raises(HostGone, match="closed"):
            await ask(pool)
