"""Browsers and proxies: pages that may not call, names that are not ours, and addresses that anybody can write."""

import pytest

from portside.clock import ManualClock
from portside.edge.stack import Callers, EdgeOptions, build
from portside.state.counters import MemoryCounters
from tests.cves.stage import ask, called, signed
from tests.edge.asked import HOST, Inner, request
from tests.edge.asked import ask as ask_app
from tests.journeys.raw import get, post
from tests.processes import Serving

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "0.0.0.0"]
)
async def test_a_name_that_is_not_ours_is_not_answered_to(server: Serving, host: str) -> None:
    """DNS rebinding (CWE-1188; CVE-2025-66414, CVE-2025-66416)."""
    assert (await ask(server, signed(post({}, host=host)))).status == 421


@pytest.mark.parametrize(
    "path", ["/mcp", "/mcp/", "/seen", "/health", "/metrics", "/.well-known/oauth-protected-resource"]
)
async def test_every_route_is_behind_the_guard_of_hosts(server: Serving, path: str) -> None:
    """A guard of hosts that stands before one route and not before another (CWE-1188)."""
    assert (await ask(server, signed(get(path, host="evil.example")))).status == 421


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://app.example.com.evil.example", "file://"])
async def test_a_foreign_page_may_not_call(server: Serving, origin: str) -> None:
    """Calls from any web page (CWE-346), and its origin told back as welcome (CWE-942)."""
    reply = await ask(server, called("echo", {"text": "a"}, {"Origin": origin}))
    assert reply.status == 403
    assert "access-control-allow-origin" not in reply.headers


async def test_a_page_that_may_call_brings_no_cookies(server: Serving) -> None:
    """Cross-site calls that ride on what the browser has stored (CWE-352)."""
    reply = await ask(server, called("echo", {"text": "a"}, {"Origin": "https://app.example.com"}))
    assert reply.status == 200
    assert "access-control-allow-credentials" not in reply.headers
    assert "set-cookie" not in reply.headers


async def test_an_answer_is_not_kept_by_caches_between(server: Serving) -> None:
    """One caller's answer served to another by a cache (CWE-524)."""
    reply = await ask(server, called("echo", {"text": "mine"}))
    assert reply.headers["cache-control"] == "no-store"


async def test_an_answer_is_no_page(server: Serving) -> None:
    """Script in what is told back to a browser (CWE-79), shown in a frame (CWE-1021)."""
    reply = await ask(server, signed(get("/<script>alert(1)</script>")))
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["x-frame-options"] == "DENY"


async def test_what_anybody_can_write_says_nothing_about_a_caller(server: Serving) -> None:
    """Addresses, schemes and hosts in forwarded headers of a stranger (CWE-290, CWE-348)."""
    spoofed = {
        "X-Forwarded-For": "10.0.0.1",
        "X-Real-IP": "10.0.0.1",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "Forwarded": "for=10.0.0.1;host=evil.example",
        "X-Request-Id": "chosen-by-me",
    }
    reply = await ask(server, signed(get("/seen", spoofed)))
    assert reply.json["client"] == "127.0.0.1"
    assert reply.json["url"] == "http://localhost/seen"
    assert not {name.lower() for name in spoofed} & set(reply.json["headers"])
    assert reply.headers["x-request-id"] != "chosen-by-me"


def limited(most: int) -> Callers:
    clock = ManualClock()
    return Callers(counters=MemoryCounters(clock), most=most, clock=clock)


async def test_a_limit_cannot_be_passed_by_another_address_in_a_header() -> None:
    """Limits by an address that the client writes itself (CWE-348)."""
    app = build(Inner(), EdgeOptions(), lambda record: None, limited(2))
    heads = [(HOST, (b"x-forwarded-for", f"198.51.100.{number}".encode())) for number in range(3)]
    assert [(await ask_app(app, request(head))).status for head in heads] == [200, 200, 429]


async def test_a_limit_cannot_be_passed_by_another_address_of_ones_own_network() -> None:
    """Limits by single IPv6 addresses, of which every customer has more than there are limits (CWE-799)."""
    app = build(Inner(), EdgeOptions(), lambda record: None, limited(2))
    clients = [f"2001:db8::{number}" for number in range(1, 4)]
    assert [(await ask_app(app, request(client=client))).status for client in clients] == [200, 200, 429]
