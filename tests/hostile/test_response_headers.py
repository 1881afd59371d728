"""The security headers of mission and OWASP on every kind of answer, each exactly once, on every way (row B13)."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import pytest

from portside.edge.entry import SECURITY_HEADERS, STRICT_TRANSPORT
from portside.serve import refused
from tests.hostile.attack import dialled
from tests.hostile.stage import BEHIND, WAYS, Stage
from tests.journeys.raw import call, get, post

pytestmark = pytest.mark.anyio

HEAD: Final = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\n"
KINDS: Final[dict[str, tuple[bytes, int]]] = {
    "json": (call("echo", {"text": "a"}), 200),
    "stream": (call("pour", {"size": 1, "count": 3}, progressToken="p"), 200),
    "page of the server's own": (get("/hit/headers"), 200),
    "health": (get("/health"), 200),
    "redirect": (get("/moved"), 302),
    "not json": (post(b"{"), 400),
    "two hosts": (get("/mcp").replace(b"\r\n\r\n", b"\r\nHost: localhost\r\n\r\n"), 400),
    "origin": (get("/mcp", {"Origin": "https://evil.example"}), 403),
    "not found": (get("/nothing"), 404),
    "method": (get("/mcp", method="PUT"), 405),
    "body in time": (HEAD + b"Content-Length: 9\r\n\r\n{", 408),
    "size": (HEAD + b"Content-Length: 9999999\r\n\r\n", 413),
    "size in chunks": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n500000\r\n" + b"x" * 0x500000 + b"\r\n0\r\n\r\n",
        413,
    ),
    "encoding": (post(b"{}", {"Content-Encoding": "gzip"}), 415),
    "host": (get("/mcp", host="evil.example"), 421),
    "many headers": (get("/mcp", {f"X-{number}": "1" for number in range(100)}), 431),
    "failure": (get("/boom"), 500),
}
RAW: Final[dict[str, tuple[bytes, int]]] = {
    "not HTTP": (b"\x00\x01\r\n\r\n", 400),
    "two lengths": (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    "head in time": (HEAD, 408),
    "long URL": (get("/" + "a" * 9000), 414),
    "long head": (get("/mcp", {"X-Long": "a" * 40_000}), 431),
    "upgrade": (HEAD + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\nx", 501),
}
OTHERWISE: Final = {
    ("nginx", "body in time"): None,  # closed without a word
    ("nginx", "head in time"): None,
    ("nginx", "long head"): 400,
    ("nginx", "upgrade"): 415,  # nginx takes the offer out, and what is left is no JSON
}
"""Where a proxy has words of its own for it."""


async def lines_of(scene: Stage, way: str, request: bytes) -> Sequence[bytes]:
    """Return the status line and header lines of the answer, none where there was no answer."""
    chosen = scene.ways[way]
    raw = b""
    async with dialled(chosen.port, chosen.tls) as connection:
        connection.send(request)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            raw = await connection.reader.readuntil(b"\r\n\r\n")
    return raw.partition(b"\r\n\r\n")[0].split(b"\r\n") if raw else ()


def values(lines: Sequence[bytes], name: bytes) -> list[bytes]:
    """Return the value of every line with this name, in lower case."""
    pairs = (line.partition(b":") for line in lines[1:])
    return [value.strip() for given, _, value in pairs if given.lower() == name]


def check(lines: Sequence[bytes], *, is_secure: bool) -> None:
    for name, value in SECURITY_HEADERS:
        assert values(lines, name) == [value], name
    assert values(lines, STRICT_TRANSPORT[0]) == ([STRICT_TRANSPORT[1]] if is_secure else [])
    assert values(lines, b"x-powered-by") == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
async def test_every_answer_carries_each_header_once(scene: Stage, way: str, kind: str) -> None:
    request, status = KINDS[kind]
    status = OTHERWISE.get((way, kind), status)
    lines = await lines_of(scene, way, request)
    if status is None:
        assert not lines
        return
    assert int(lines[0].split()[1]) == status
    check(lines, is_secure=way != "direct")
    assert len(values(lines, b"cache-control")) <= 1


@pytest.mark.parametrize("kind", RAW)
async def test_answers_from_before_there_is_a_request_do_too(scene: Stage, kind: str) -> None:
    request, status = RAW[kind]
    lines = await lines_of(scene, "direct", request)
    assert int(lines[0].split()[1]) == status
    check(lines, is_secure=False)
    assert values(lines, b"cache-control") == [b"no-store"]
    assert values(lines, b"connection") == [b"close"]


@pytest.mark.parametrize("status", [400, 408, 414, 431, 501, 503])
@pytest.mark.parametrize("is_secure", [True, False])
async def test_every_answer_that_no_application_made_is_whole(status: int, is_secure: bool) -> None:
    head, _, body = refused.answer(status, is_secure=is_secure).partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    check(lines, is_secure=is_secure)
    assert values(lines, b"content-length") == [str(len(body)).encode()]
    assert values(lines, b"retry-after") == ([b"1"] if status == 503 else [])


@pytest.mark.parametrize("kind", RAW)
async def test_nginx_says_them_of_its_own_refusals(scene: Stage, kind: str) -> None:
    request, status = RAW[kind]
    status = OTHERWISE.get(("nginx", kind), status)
    lines = await lines_of(scene, "nginx", request)
    if status is None:
        assert not lines
        return
    assert int(lines[0].split()[1]) == status
    check(lines, is_secure=True)


@pytest.mark.parametrize(("kind", "status"), [("not HTTP", 400), ("two lengths", 400), ("head in time", 408)])
async def test_haproxy_refuses_what_is_not_http_in_words_of_its_own(scene: Stage, kind: str, status: int) -> None:
    """Known gap: these answers are part of HAProxy's program, and no directive adds a header to them."""
    lines = await lines_of(scene, "haproxy", RAW[kind][0])
    assert int(lines[0].split()[1]) == status
    assert values(lines, b"connection") == [b"close"]


@pytest.mark.parametrize("way", BEHIND)
@pytest.mark.parametrize(("host", "status"), [("localhost", 308), ("evil.example", 421)])
async def test_http_is_redirected_for_our_own_names_only(scene: Stage, way: str, host: str, status: int) -> None:
    async with dialled(scene.proxies[way].plain_port) as connection:
        connection.send(get("/mcp?a=b", host=host))
        raw = await connection.reader.readuntil(b"\r\n\r\n")
    lines = raw.rstrip().split(b"\r\n")
    assert int(lines[0].split()[1]) == status
    check(lines, is_secure=False)
    port = scene.ways[way].port
    assert values(lines, b"location") == ([b"https://localhost:%d/mcp?a=b" % port] if status == 308 else [])
