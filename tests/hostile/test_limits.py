"""What is too large or encoded is refused early and costs no memory (reliability rows B3 and B6)."""

import asyncio
import gzip
import zlib
from collections.abc import Generator
from contextlib import suppress
from typing import Final

import pytest

from tests.hostile.attack import dialled
from tests.hostile.stage import TARGET, resident_bytes
from tests.journeys.raw import call, get, post
from tests.processes import Serving, portside

pytestmark = pytest.mark.anyio

MIB: Final = 1024 * 1024
LIMIT: Final = 4 * MIB
OFFERED: Final = 64 * MIB
PIECE: Final = b"x" * 65_536
HEAD: Final = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BOMB: Final = bytes(10 * MIB)


@pytest.fixture(scope="module")
def server() -> Generator[Serving]:
    with portside(TARGET, environment={"MCP_ENV": "development"}) as running:
        yield running


async def refused(server: Serving, request: bytes) -> int:
    """Return the status that a request gets whose connection is closed afterwards."""
    async with dialled(server.port) as connection:
        connection.send(request)
        answer = await connection.closed()
    return int(answer.split()[1])


async def pour(port: int, head: bytes, piece: bytes) -> tuple[bytes, int]:
    """Send `head` and then 64 MiB of `piece`; return the answer, and how much the server and the kernels took."""
    taken = 0
    async with dialled(port) as connection:
        answered = asyncio.create_task(connection.closed(timeout_s=20))
        connection.send(head)
        with suppress(ConnectionError):
            while taken < OFFERED and not answered.done():
                connection.send(piece)
                draining = asyncio.create_task(connection.writer.drain())
                await asyncio.wait({draining, answered}, return_when=asyncio.FIRST_COMPLETED)
                if not draining.done():
                    draining.cancel()
                    break
                await draining
                taken += len(piece)
        return await answered, taken


@pytest.mark.parametrize(("size", "status"), [(8 * 1024, 405), (8 * 1024 + 1, 414), (31 * 1024, 414), (200_000, 414)])
async def test_a_url_over_8_kib_is_refused(server: Serving, size: int, status: int) -> None:
    request = get("/mcp?" + "a" * (size - 5), method="PUT")
    async with dialled(server.port) as connection:
        assert (await connection.ask(request)).status == status


@pytest.mark.parametrize("size", [32 * 1024 + 100, 64 * 1024, MIB, 16 * MIB])
async def test_a_head_over_32_kib_is_refused(server: Serving, size: int) -> None:
    assert await refused(server, get("/mcp", {"X-Long": "a" * size})) == 431


@pytest.mark.parametrize(("number", "status"), [(99, 405), (100, 431), (5000, 431)])
async def test_more_than_100_headers_are_refused(server: Serving, number: int, status: int) -> None:
    request = get("/mcp", {f"X-{index}": "1" for index in range(number)}, method="PUT")
    async with dialled(server.port) as connection:
        assert (await connection.ask(request)).status == status


async def test_a_body_announced_over_the_limit_is_refused_unread(server: Serving) -> None:
    assert await refused(server, HEAD + b"Content-Length: %d\r\n\r\n" % (LIMIT + 1)) == 413
    assert await refused(server, HEAD + b"Content-Length: %d\r\n\r\n" % (10**15)) == 413


@pytest.mark.parametrize("kind", ["length", "chunks", "small chunks", "trailers", "extension", "headers", "url"])
async def test_what_never_ends_is_cut_off_and_not_kept(server: Serving, kind: str) -> None:
    """No more is taken than the limit, what the kernels hold on both sides, and one read; memory does not grow."""
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    head, piece, status = {
        "length": (HEAD + b"Content-Length: %d\r\n\r\n" % OFFERED, PIECE, 413),
        "chunks": (chunked, b"10000\r\n" + PIECE + b"\r\n", 413),
        "small chunks": (chunked, b"1\r\nx\r\n" * 10_000, 431),
        "trailers": (chunked + b"0\r\n", b"X: 1\r\n" * 10_000, 400),
        "extension": (chunked + b"1;", PIECE, 431),
        "headers": (HEAD, b"X: 1\r\n" * 10_000, 431),
        "url": (b"GET /", PIECE, 414),
    }[kind]
    before = resident_bytes(server)
    attacks = [asyncio.create_task(pour(server.port, head, piece)) for _ in range(4)]
    highest = before
    while not all(attack.done() for attack in attacks):
        await asyncio.wait(attacks, timeout=0.02)
        highest = max(highest, resident_bytes(server))
    for answer, taken in [attack.result() for attack in attacks]:
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert taken < OFFERED / 2
    assert highest - before <= len(attacks) * 2 * LIMIT


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate", "compress", "x-gzip", "gzip, gzip"])
async def test_an_encoded_body_is_refused_before_it_is_read(server: Serving, encoding: str) -> None:
    """1,000 to 1 and worse: nothing here ever inflates it, so it costs nothing."""
    body = zlib.compress(BOMB) if encoding == "deflate" else gzip.compress(BOMB)
    before = resident_bytes(server)
    for _ in range(20):
        async with dialled(server.port) as connection:
            assert (await connection.ask(post(body, {"Content-Encoding": encoding}))).status == 415
    assert resident_bytes(server) - before <= 10 * MIB


async def test_the_server_is_well_afterwards(server: Serving) -> None:
    async with dialled(server.port) as connection:
        assert (await connection.ask(call("echo", {"text": "still here"}))).status == 200
