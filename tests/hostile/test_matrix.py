"""Every host and every origin on every route and every way (reliability row A6; CWE-346, DNS rebinding)."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import pytest

from tests.hostile.attack import dialled
from tests.hostile.stage import WAYS, Stage
from tests.journeys.raw import call, get, post

OUR_HOSTS: Final = (
    "localhost",
    "LOCALHOST",
    "localhost:443",
    "localhost:65535",
    "localhost.",
    "127.0.0.1",
    "127.0.0.1:3000",
    "[::1]",
    "[::1]:3000",
    "mcp.example.com",
    "mcp.example.com:8443",
    "MCP.example.com",
)
OTHER_HOSTS: Final = (
    "evil.example",
    "localhost.evil.example",
    "evil.localhost",
    "127.0.0.1.nip.io",
    "7f000001.rbndr.us",
    "mcp.example.com.evil.example",
    "evil-mcp.example.com",
    "sub.mcp.example.com",
    "example.com",
    "127.1",
    "2130706433",
    "0x7f.1",
)
ADDRESSES: Final = ("0.0.0.0", "127.0.0.2", "192.0.2.1:80", "[::2]", "[::]", "[::ffff:127.0.0.1]")
"""Not ours either, but probes may name the replica by any address."""

BROKEN_HOSTS: Final = (
    "",
    "a b",
    "a b@c",
    "user@localhost",
    "localhost@evil.example",
    "localhost, evil.example",
    "localhost/",
    "localhost#x",
    "localhost?x",
    "localhost\\x",
    "localhost:80:80",
    "localhost:x",
    "localhost:-1",
    "localhost:99999",
    "[::1",
    "::1",
    "http://localhost",
    "*",
    "%6cocalhost",
    "m\xe9p.example.com",
)
OUR_ORIGINS: Final = (
    "https://mcp.example.com",
    "https://app.example.com",
    "http://localhost:6274",
    "http://127.0.0.1",
    "http://[::1]:3000",
    "HTTPS://APP.EXAMPLE.COM",
)
OTHER_ORIGINS: Final = (
    "null",
    "",
    "*",
    "https://evil.example",
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://app.example.com.evil.example",
    "https://evilapp.example.com",
    "https://app.example.com@evil.example",
    "https://app.example.com/",
    "https://mcp.example.com, https://evil.example",
    "https://mcp.example.com https://evil.example",
    "http://localhost.evil.example",
    "http://127.0.0.1.nip.io",
    "http://[::2]",
    "file://",
    "data:text/html,x",
    "javascript:0",
    "ftp://localhost",
    "chrome-extension://abcdefghijklmnop",
    "mcp.example.com",
    "//mcp.example.com",
    "https://m\xe9p.example.com",
)

PLAIN: Final = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
ROUTES: Final[Mapping[str, bytes]] = {
    "call": call("echo", {"text": "a"}),
    "legacy call": post(PLAIN, {"Mcp-Session-Id": "unknown"}),
    "stream": get("/mcp", {"Accept": "text/event-stream", "Mcp-Session-Id": "unknown"}),
    "end": get("/mcp", {"Mcp-Session-Id": "unknown"}, method="DELETE"),
    "options": get("/mcp", method="OPTIONS"),
    "slash": get("/mcp/", {"Mcp-Session-Id": "unknown"}, method="DELETE"),
    "health": get("/health"),
    "ready": get("/ready"),
    "metrics": get("/metrics"),
    "metadata": get("/.well-known/oauth-protected-resource/mcp"),
    "own": get("/hit/matrix"),
    "unknown": get("/nothing"),
}
PROBES: Final = frozenset({"health", "ready", "metrics"})
HIDDEN: Final = frozenset({"metrics"})
"""Routes that proxies answer with 404 themselves, whatever the host or origin."""

Statuses = Mapping[tuple[str, str], int]
Put = Callable[[bytes, str], bytes]


def hosted(request: bytes, host: str) -> bytes:
    return request.replace(b"Host: localhost\r\n", f"Host: {host}\r\n".encode("latin-1"), 1)


def from_page(request: bytes, origin: str) -> bytes:
    return request.replace(b"\r\n", f"\r\nOrigin: {origin}\r\n".encode("latin-1"), 1)


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module")
def by_host(scene: Stage, way: str) -> Statuses:
    return asyncio.run(_all(scene, way, [*OUR_HOSTS, *OTHER_HOSTS, *ADDRESSES, *BROKEN_HOSTS], hosted))


@pytest.fixture(scope="module")
def by_origin(scene: Stage, way: str) -> Statuses:
    return asyncio.run(_all(scene, way, [*OUR_ORIGINS, *OTHER_ORIGINS], from_page))


async def _all(scene: Stage, way: str, given: list[str], put: Put) -> Statuses:
    """Return the status that `put` with each value gets on each route, each on a connection of its own."""
    chosen = scene.ways[way]
    found: dict[tuple[str, str], int] = {}

    async def one(value: str, route: str) -> None:
        async with places, dialled(chosen.port, chosen.tls) as connection:
            connection.send(put(ROUTES[route], value))
            found[value, route] = (await connection.head())[0]

    places = asyncio.Semaphore(16)
    await asyncio.gather(*(one(value, route) for value in given for route in ROUTES))
    return found


def is_answered_by_the_proxy(way: str, route: str) -> bool:
    return way != "direct" and route in HIDDEN


@pytest.mark.parametrize("route", ROUTES)
def test_our_own_hosts_are_answered(by_host: Statuses, route: str) -> None:
    assert {by_host[host, route] for host in OUR_HOSTS}.isdisjoint({400, 403, 421})


@pytest.mark.parametrize("route", ROUTES)
def test_other_hosts_are_not(by_host: Statuses, way: str, route: str) -> None:
    expected = 404 if is_answered_by_the_proxy(way, route) else 421
    assert {host: by_host[host, route] for host in OTHER_HOSTS} == dict.fromkeys(OTHER_HOSTS, expected)


@pytest.mark.parametrize("route", ROUTES)
def test_addresses_are_answered_to_probes_only(by_host: Statuses, way: str, route: str) -> None:
    expected = 404 if is_answered_by_the_proxy(way, route) else 200 if route in PROBES else 421
    assert {host: by_host[host, route] for host in ADDRESSES} == dict.fromkeys(ADDRESSES, expected)


@pytest.mark.parametrize("route", ROUTES)
def test_broken_hosts_are_refused(by_host: Statuses, way: str, route: str) -> None:
    allowed = {400, 404} if is_answered_by_the_proxy(way, route) else {400}
    assert {host: by_host[host, route] for host in BROKEN_HOSTS if by_host[host, route] not in allowed} == {}


@pytest.mark.parametrize("route", ROUTES)
def test_pages_of_our_own_or_listed_may_ask(by_origin: Statuses, route: str) -> None:
    assert {by_origin[origin, route] for origin in OUR_ORIGINS}.isdisjoint({400, 403, 421})


@pytest.mark.parametrize("route", ROUTES)
def test_other_pages_may_not(by_origin: Statuses, way: str, route: str) -> None:
    expected = 404 if is_answered_by_the_proxy(way, route) else 403
    assert {origin: by_origin[origin, route] for origin in OTHER_ORIGINS} == dict.fromkeys(OTHER_ORIGINS, expected)


def test_the_matrix_is_large_enough() -> None:
    assert len({*OUR_HOSTS, *OTHER_HOSTS, *ADDRESSES, *BROKEN_HOSTS}) >= 40
    assert len({*OUR_ORIGINS, *OTHER_ORIGINS}) >= 25
