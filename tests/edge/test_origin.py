"""Host and Origin allow-lists (MCP, Streamable HTTP, Security: DNS rebinding)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.edge.origin import Origin
from portside.edge.stack import EdgeOptions, build
from portside.observe.record import Record
from tests.edge.asked import Inner, Pairs, ask, request

pytestmark = pytest.mark.anyio


def layer(
    *,
    bind_host: str = "0.0.0.0",
    public_url: str | None = "https://mcp.example.com",
    allowed_hosts: tuple[str, ...] = ("other.example.com", "fixed.example.com:8443", "[2001:db8::5]"),
    allowed_origins: tuple[str, ...] = ("https://app.example.com", "http://dev.example.com:3000"),
) -> Origin:
    return Origin(
        Inner(),
        bind_host=bind_host,
        public_url=public_url,
        allowed_hosts=allowed_hosts,
        allowed_origins=allowed_origins,
    )


async def status(origin: Origin, headers: Pairs, path: str = "/mcp") -> int:
    return (await ask(origin, request(headers, path=path))).status


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        # The public URL's own name, on any port: a proxy may listen elsewhere.
        ("mcp.example.com", 200),
        ("mcp.example.com:443", 200),
        ("mcp.example.com:8443", 200),
        ("MCP.Example.COM", 200),
        ("mcp.example.com.", 200),
        ("mcp.example.com.:443", 200),
        # Local names.
        ("localhost", 200),
        ("localhost:8000", 200),
        ("LOCALHOST", 200),
        ("localhost.", 200),
        ("127.0.0.1", 200),
        ("127.0.0.1:65535", 200),
        ("[::1]", 200),
        ("[::1]:8000", 200),
        # Listed names.
        ("other.example.com", 200),
        ("other.example.com:1", 200),
        ("fixed.example.com:8443", 200),
        ("fixed.example.com", 421),
        ("fixed.example.com:443", 421),
        ("[2001:db8::5]", 200),
        ("[2001:DB8::5]:80", 200),
        # Other names, among them what rebinding looks like.
        ("evil.example", 421),
        ("mcp.example.com.evil.example", 421),
        ("evil-mcp.example.com", 421),
        ("sub.mcp.example.com", 421),
        ("example.com", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.nip.io", 421),
        ("7f000001.rbndr.us", 421),
        ("127.0.0.2", 421),
        ("0.0.0.0", 421),
        ("127.1", 421),
        ("2130706433", 421),
        ("192.0.2.1", 421),
        ("[::2]", 421),
        ("[::]", 421),
        ("[::ffff:127.0.0.1]", 421),
        # Not hosts.
        ("", 400),
        (" ", 400),
        ("::1", 400),
        ("[::1", 400),
        ("::1]", 400),
        ("[::1]x", 400),
        ("[::1%25lo]", 400),
        ("localhost:", 400),
        ("localhost:x", 400),
        ("localhost:-1", 400),
        ("localhost:65536", 400),
        ("localhost:123456", 400),
        ("localhost:80:80", 400),
        ("user@localhost", 400),
        ("user:word@localhost", 400),
        ("localhost@evil.example", 400),
        ("http://localhost", 400),
        ("localhost/", 400),
        ("localhost?x", 400),
        ("localhost#x", 400),
        ("localhost\\x", 400),
        ("localhost, evil.example", 400),
        ("local host", 400),
        (" localhost", 400),
        ("localhost\t", 400),
        ("local\x00host", 400),
        ("m\xe9p.example.com", 400),
        ("*", 400),
        ("%6c%6fcalhost", 400),
    ],
)
async def test_a_host_is_answered_to_only_if_it_is_ours(host: str, expected: int) -> None:
    assert await status(layer(), [(b"host", host.encode("latin-1"))]) == expected


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [((), 400), (("localhost",), 200), (("localhost", "localhost"), 400), (("localhost", "evil.example"), 400)],
)
async def test_exactly_one_host_is_expected(hosts: tuple[str, ...], expected: int) -> None:
    assert await status(layer(), [(b"host", host.encode()) for host in hosts]) == expected


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("https://mcp.example.com", 200),
        ("https://mcp.example.com:443", 200),
        ("http://localhost:6274", 200),
        ("http://127.0.0.1", 200),
        ("http://[::1]:3000", 200),
        ("https://app.example.com", 200),
        ("HTTPS://APP.EXAMPLE.COM", 200),
        ("http://dev.example.com:3000", 200),
        ("http://app.example.com", 403),
        ("https://app.example.com:8443", 403),
        ("http://dev.example.com", 403),
        ("http://dev.example.com:3001", 403),
        ("https://app.example.com.evil.example", 403),
        ("https://evilapp.example.com", 403),
        ("https://app.example.com@evil.example", 403),
        ("https://evil.example/https://app.example.com", 403),
        ("https://evil.example#app.example.com", 403),
        ("https://user@mcp.example.com", 403),
        ("https://mcp.example.com/", 403),
        ("https://mcp.example.com/path", 403),
        ("http://localhost.evil.example", 403),
        ("http://127.0.0.1.nip.io", 403),
        ("http://[::2]", 403),
        ("http://[::1", 403),
        ("null", 403),
        ("NULL", 403),
        ("", 403),
        ("*", 403),
        ("mcp.example.com", 403),
        ("//mcp.example.com", 403),
        ("file://", 403),
        ("file:///etc/passwd", 403),
        ("data:text/html,x", 403),
        ("javascript:0", 403),
        ("ftp://localhost", 403),
        ("chrome-extension://abcdefghijklmnop", 403),
        ("https://mcp.example.com https://evil.example", 403),
        ("https://mcp.example.com, https://evil.example", 403),
        ("https://mcp.example.com\x00", 403),
        ("https://m\xe9p.example.com", 403),
    ],
)
async def test_a_page_may_call_only_if_it_is_ours_or_listed(origin: str, expected: int) -> None:
    headers = [(b"host", b"mcp.example.com"), (b"origin", origin.encode("latin-1"))]
    assert await status(layer(), headers) == expected


@pytest.mark.parametrize(
    ("origins", "expected"),
    [
        ((b"https://mcp.example.com", b"https://mcp.example.com"), 200),
        ((b"https://mcp.example.com", b"https://evil.example"), 403),
        ((b"https://evil.example", b"https://mcp.example.com"), 403),
    ],
)
async def test_every_origin_of_several_must_be_allowed(origins: tuple[bytes, ...], expected: int) -> None:
    headers = [(b"host", b"localhost"), *((b"origin", origin) for origin in origins)]
    assert await status(layer(), headers) == expected


async def test_a_star_allows_every_page_but_not_every_host() -> None:
    anybody = layer(allowed_origins=("*",))
    assert await status(anybody, [(b"host", b"localhost"), (b"origin", b"null")]) == 200
    assert await status(anybody, [(b"host", b"evil.example"), (b"origin", b"https://evil.example")]) == 421


@pytest.mark.parametrize(
    ("public_url", "host"),
    [
        ("https://mcp.example.com", b"mcp.example.com"),
        ("https://mcp.example.com:8443/base", b"mcp.example.com:8443"),
        ("https://MCP.example.com", b"mcp.example.com"),
        ("https://mcp.example.com.", b"mcp.example.com"),
        ("https://mcp.example.com.", b"mcp.example.com."),
        ("http://192.0.2.1:8000", b"192.0.2.1:8000"),
        ("https://[2001:DB8::1]", b"[2001:db8::1]"),
    ],
)
async def test_the_name_in_the_public_url_is_answered_to(public_url: str, host: bytes) -> None:
    ours = layer(public_url=public_url)
    assert await status(ours, [(b"host", host), (b"origin", b"https://" + host)]) == 200


@pytest.mark.parametrize("host", [b"mcp.example.com", b"192.0.2.1", b"[2001:db8::1]"])
async def test_without_a_public_url_only_local_names_are(host: bytes) -> None:
    local = layer(public_url=None, allowed_hosts=())
    assert await status(local, [(b"host", host)]) == 421
    assert await status(local, [(b"host", b"localhost")]) == 200


@pytest.mark.parametrize(
    ("bind_host", "host", "expected"),
    [
        ("192.0.2.1", b"192.0.2.1:8000", 200),
        ("::1", b"[::1]:8000", 200),
        ("2001:db8::9", b"[2001:db8::9]", 200),
        ("Box.local", b"box.local:8000", 200),
        ("0.0.0.0", b"0.0.0.0", 421),
        ("::", b"[::]", 421),
        ("", b".", 421),
    ],
)
async def test_the_address_bound_to_is_answered_to_unless_it_means_all(
    bind_host: str, host: bytes, expected: int
) -> None:
    bound = layer(bind_host=bind_host, public_url=None, allowed_hosts=())
    assert await status(bound, [(b"host", host)]) == expected


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
@pytest.mark.parametrize(
    ("host", "expected"),
    [(b"10.1.2.3:8000", 200), (b"[2001:db8::3]:8000", 200), (b"evil.example", 421), (b"1.2.3.4.nip.io", 421)],
)
async def test_probes_may_name_the_replica_by_any_address_but_not_by_other_names(
    path: str, host: bytes, expected: int
) -> None:
    assert await status(layer(), [(b"host", host)], path) == expected


async def test_a_verdict_for_a_probe_does_not_open_the_endpoint() -> None:
    ours = layer()
    probe: Pairs = [(b"host", b"10.1.2.3")]
    assert [await status(ours, probe, path) for path in ("/health", "/mcp", "/health", "/mcp")] == [200, 421, 200, 421]


async def test_many_hosts_do_not_change_a_verdict_or_grow_it_for_ever() -> None:
    ours = layer()
    for number in range(1200):
        assert await status(ours, [(b"host", b"h%d.evil.example" % number)]) == 421
    assert await status(ours, [(b"host", b"mcp.example.com")]) == 200
    assert len(vars(ours)["_verdicts"]) <= 1000


async def test_a_refusal_says_which_setting_would_help_and_is_recorded() -> None:
    answer = await ask(layer(), request([(b"host", b"evil.example")]))
    assert "PORTSIDE_PUBLIC_URL" in answer.json["error"]["message"]
    assert (answer.record.outcome, answer.record.error) == ("refused", answer.json["error"]["message"])
    answer = await ask(layer(), request([(b"host", b"localhost"), (b"origin", b"https://evil.example")]))
    assert "PORTSIDE_ALLOWED_ORIGINS" in answer.json["error"]["message"]


async def test_a_refusal_shows_no_more_than_the_beginning_of_a_long_name() -> None:
    answer = await ask(layer(), request([(b"host", b"a" * 5000)]))
    assert answer.status == 421
    assert len(answer.body) < 400


@pytest.mark.parametrize(
    "headers",
    [
        [(b"host", b"mcp.example.com")],
        [(b"host", b"10.0.0.5:8000"), (b"x-forwarded-host", b"mcp.example.com"), (b"x-forwarded-proto", b"https")],
        [(b"host", b"backend"), (b"forwarded", b"for=203.0.113.7;host=mcp.example.com;proto=https")],
        [(b"host", b"backend:8000"), (b"x-forwarded-host", b"mcp.example.com:443")],
    ],
)
async def test_behind_a_real_hostname_the_name_the_client_used_counts(headers: Pairs) -> None:
    records: list[Record] = []
    options = EdgeOptions(bind_host="0.0.0.0", public_url="https://mcp.example.com", trusted_proxies=["192.0.2.0/24"])
    edge = build(Inner(), options, records.append)
    browser = (b"origin", b"https://mcp.example.com")
    assert (await ask(edge, request([*headers, browser]))).status == 200
    if len(headers) > 1:
        assert (await ask(edge, request([*headers, browser], client="198.51.100.1"))).status == 421


@given(host=st.text(alphabet="localhst127.0:[]@%/ -_\xe9", max_size=20))
async def test_no_other_spelling_passes_for_a_local_name(host: str) -> None:
    local = layer(public_url=None, allowed_hosts=(), allowed_origins=())
    if await status(local, [(b"host", host.encode("latin-1"))]) == 200:
        assert re.fullmatch(r"(localhost|127\.0\.0\.1|\[::1\])\.?(:[0-9]{1,5})?", host)
