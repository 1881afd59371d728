"""The hostile corpus against a real process: clean refusals only, and no harm done (reliability row B4)."""

import asyncio
from collections.abc import Generator
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.journeys.corpus import MODERN, cases
from tests.journeys.raw import Connection, call, get, post
from tests.processes import Serving, portside

pytestmark = pytest.mark.anyio

CASES: Final = dict(cases())


@pytest.fixture(scope="module")
def server() -> Generator[Serving]:
    with portside("tests/journeys/targets/steady.py") as server:
        yield server
        printed = server.printed()
        assert "Traceback" not in printed
        assert "request.failed" not in printed


async def status_of(port: int, request: bytes) -> int | None:
    """Return the status a request is answered with, None where the connection was closed without an answer."""
    connection = await Connection.open(port)
    try:
        connection.send(request)
        async with asyncio.timeout(10):
            return (await connection.head())[0]
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    finally:
        connection.close()


def test_the_corpus_is_large_enough() -> None:
    assert len(CASES) >= 120


@pytest.mark.parametrize("name", CASES)
async def test_a_hostile_request_is_refused_cleanly(server: Serving, name: str) -> None:
    status = await status_of(server.port, CASES[name])
    assert status is not None, "the connection was closed without an answer"
    assert 400 <= status < 500


async def test_the_server_is_well_afterwards(server: Serving) -> None:
    connection = await Connection.open(server.port)
    assert (await connection.ask(call("echo", {"text": "still here"}))).status == 200
    assert (await connection.ask(get("/health"))).json["status"] in ("healthy", "warning")
    connection.close()


async def test_a_refused_request_leaves_the_connection_usable(server: Serving) -> None:
    connection = await Connection.open(server.port)
    assert (await connection.ask(post(b"{", MODERN))).status == 400
    assert (await connection.ask(call("echo", {"text": "a"}))).status == 200
    connection.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
async def test_any_body_is_answered_and_never_with_5xx(server: Serving, body: bytes) -> None:
    status = await status_of(server.port, post(body, MODERN))
    assert status is not None
    assert status < 500


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=st.binary(min_size=1, max_size=200))
async def test_any_bytes_on_the_wire_get_400_or_wait_for_more(server: Serving, request: bytes) -> None:
    connection = await Connection.open(server.port)
    try:
        connection.send(request + b"\r\n\r\n\r\n\r\n")
        async with asyncio.timeout(0.5):
            status = (await connection.head())[0]
        assert 400 <= status < 500
    except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
        pass  # not a whole request yet, or not worth an answer
    finally:
        connection.close()


@pytest.mark.parametrize("length", [b"", b"Content-Length: 100\r\n"])
async def test_a_head_that_never_ends_is_cut(length: bytes) -> None:
    limits = {"PORTSIDE_HEADER_TIMEOUT_MS": "300", "PORTSIDE_BODY_TIMEOUT_MS": "300"}
    with portside("tests/journeys/targets/steady.py", environment=limits) as server:
        silent, slow, stalled = [await Connection.open(server.port) for _ in range(3)]
        slow.send(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\n" + length)
        stalled.send(post(b"{}").replace(b"Content-Length: 2", b"Content-Length: 20"))
        answers = [await one.closed(timeout_s=5) for one in (silent, slow, stalled)]
        for one in (silent, slow, stalled):
            one.close()
    assert answers[0] == b""
    assert answers[1].startswith(b"HTTP/1.1 408 ")
    assert answers[2].startswith(b"HTTP/1.1 408 ")


async def test_a_long_head_is_cut_while_it_comes() -> None:
    with portside("tests/journeys/targets/steady.py", environment={"PORTSIDE_MAX_HEADER_BYTES": "2000"}) as server:
        connection = await Connection.open(server.port)
        connection.send(b"GET /mcp HTTP/1.1\r\nHost: localhost\r\n")
        for number in range(100):
            connection.send(b"X-%d: %s\r\n" % (number, b"a" * 100))
        answer = await connection.closed(timeout_s=5)
        connection.close()
    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_chunks_over_the_limit_are_refused_early() -> None:
    with portside("tests/journeys/targets/steady.py", environment={"PORTSIDE_MAX_BODY_BYTES": "1000"}) as server:
        connection = await Connection.open(server.port)
        head = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.send(head + b"".join(b"64\r\n" + b"a" * 100 + b"\r\n" for _ in range(12)))
        assert (await connection.head())[0] == 413
        connection.close()
