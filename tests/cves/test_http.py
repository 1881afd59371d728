"""HTTP itself: what is ambiguous, endless, or meant for another protocol."""

import gzip

import pytest

from tests.cves.stage import ask, called, cut_off, signed, text_of
from tests.hostile.attack import dialled
from tests.journeys.raw import get, post
from tests.processes import Serving

pytestmark = pytest.mark.anyio

HEAD = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


async def test_a_body_of_two_lengths_is_refused(server: Serving) -> None:
    """Request smuggling by Content-Length and Transfer-Encoding (CWE-444)."""
    hidden = b"GET /files/hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
    data = HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden
    answer = await cut_off(server, data)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"\r\n\r\n") == 1


async def test_chunks_must_end_as_they_are_written_down(server: Serving) -> None:
    """Lenient ends of chunks, by which two readers see two bodies (CWE-444; CVE-2025-43859)."""
    answer = await cut_off(server, HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_a_header_that_decides_is_taken_once(server: Serving) -> None:
    """Repeated headers, of which one reader takes the first and another the last (CWE-436)."""
    assert (await ask(server, called("echo", {"text": "a"}, {"mcp-name": "privileged"}))).status == 400


async def test_a_header_in_disguise_is_refused(server: Serving) -> None:
    """Underscores for hyphens, by which a header passes a proxy that would have taken it off (CWE-436)."""
    assert (await ask(server, signed(get("/seen", {"X_Forwarded_For": "203.0.113.1"})))).status == 400


async def test_half_a_head_is_given_up(server: Serving) -> None:
    """Slow headers that hold connections (CWE-400; CVE-2007-6750)."""
    assert (await cut_off(server, b"GET /mcp HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")).startswith(b"HTTP/1.1 408 ")


async def test_half_a_body_is_given_up(server: Serving) -> None:
    """Slow bodies that hold connections (CWE-400)."""
    half = signed(HEAD + b"Content-Length: 100\r\n\r\n{")
    assert (await cut_off(server, half)).startswith(b"HTTP/1.1 408 ")


async def test_a_compressed_body_is_not_unpacked(server: Serving) -> None:
    """Decompression bomb (CWE-409)."""
    bomb = signed(post(gzip.compress(bytes(10_000_000)), {"Content-Encoding": "gzip"}))
    assert (await ask(server, bomb)).status == 415


async def test_a_body_over_the_limit_is_refused_unread(server: Serving) -> None:
    """Bodies without bound (CWE-770)."""
    assert (await cut_off(server, signed(HEAD + b"Content-Length: 4194305\r\n\r\n"))).startswith(b"HTTP/1.1 413 ")


async def test_a_head_over_the_limit_is_refused(server: Serving) -> None:
    """Heads without bound (CWE-770)."""
    assert (await cut_off(server, get("/mcp", {"X-Long": "a" * 65_536}))).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("start", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n"])
async def test_http_2_is_not_spoken(server: Serving, start: bytes) -> None:
    """Floods of resets and of CONTINUATION frames (CWE-400; CVE-2023-44487, CVE-2024-27316): there is no HTTP/2."""
    answer = await cut_off(server, start)
    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
async def test_no_other_protocol_can_be_asked_for(server: Serving, protocol: str) -> None:
    """Tunnels through an upgrade, past whatever checks requests (CWE-444); web sockets of foreign pages (CWE-1385)."""
    upgrade = {"Connection": "Upgrade", "Upgrade": protocol, "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    assert (await ask(server, get("/seen", upgrade))).status == 401


async def test_the_type_of_a_body_is_read_in_linear_time(server: Serving) -> None:
    """Regular expressions over Content-Type (CWE-1333; CVE-2024-24762)."""
    evil = 'application/x-www-form-urlencoded; !="' + "\\" * 30_000
    assert (await ask(server, signed(post({}, {"Content-Type": evil})))).status == 415


@pytest.mark.parametrize(
    "path", ["/files/..%2f..%2fetc%2fpasswd", "/files/../../etc/passwd", "/files/%2e%2e/etc/passwd"]
)
async def test_no_path_reaches_a_route_with_a_slash_in_a_name(server: Serving, path: str) -> None:
    """Path traversal through what routes take for one name (CWE-22; CVE-2023-29159)."""
    reply = await ask(server, signed(get(path)))
    assert reply.status == 404
    assert b"passwd" not in reply.body


async def test_nobody_is_sent_elsewhere(server: Serving) -> None:
    """Open redirect by a path that starts with two slashes (CWE-601)."""
    reply = await ask(server, signed(get("//evil.example/mcp")))
    assert reply.status == 404
    assert "location" not in reply.headers


async def test_a_header_cannot_be_broken_open(server: Serving) -> None:
    """Response splitting by line breaks in a header's value (CWE-113; CVE-2020-7695)."""
    assert (await ask(server, signed(get("/said?text=a")))).headers["x-said"] == "a"
    reply = await ask(server, signed(get("/said?text=a%0d%0aX-Injected:%201")))
    assert (reply.status, reply.headers.get("x-said")) == (500, None)
    assert b"injected" not in f"{reply.headers}".lower().encode() + reply.body.lower()


async def test_many_requests_at_once_on_one_connection_are_answered_in_order(server: Serving) -> None:
    """Answers that reach the wrong request when several are under way (CWE-362)."""
    async with dialled(server.port) as connection:
        connection.send(b"".join(called("echo", {"text": f"number {index}"}) for index in range(10)))
        answers = [text_of(await connection.reply()) for _ in range(10)]
    assert answers == [f"number {index}" for index in range(10)]
