"""Forwarded headers: believed from trusted networks, gone in any case (RFC 7239 §8.1)."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.edge.forwarded import NAMES, Forwarded
from tests.edge.asked import HOST, PEER, Inner, Pairs, ask, request

pytestmark = pytest.mark.anyio

TRUSTED = ("192.0.2.0/24", "10.0.0.0/8", "2001:db8:ffff::/48")
CLIENT = "203.0.113.7"


async def seen(headers: Pairs, *, peer: str | None = PEER, trusted: tuple[str, ...] = TRUSTED) -> tuple[str, str, str]:
    """Return client address, scheme and host as the next layer sees them."""
    inner = Inner()
    answer = await ask(Forwarded(inner, trusted=trusted), request([HOST, *headers], client=peer))
    scope = inner.seen[0]
    assert NAMES.isdisjoint(name for name, _ in scope["headers"])
    assert dict(scope["headers"]) == scope["portside.headers"]
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    assert len(hosts) == 1
    assert answer.status == 200
    return (scope["client"] or ("",))[0], scope["scheme"], hosts[0].decode("latin-1")


SAYING_ALL: Pairs = [
    (b"x-forwarded-for", CLIENT.encode()),
    (b"x-forwarded-proto", b"https"),
    (b"x-forwarded-host", b"mcp.example.com"),
    (b"x-forwarded-port", b"443"),
    (b"x-real-ip", CLIENT.encode()),
    (b"x-request-id", b"from-the-proxy"),
]


async def test_a_trusted_proxy_says_who_asks_and_over_what() -> None:
    assert await seen(SAYING_ALL) == (CLIENT, "https", "mcp.example.com")


@pytest.mark.parametrize("peer", ["198.51.100.1", "192.0.3.1", "2001:db8::1", "::1", "testclient", ""])
async def test_nobody_else_is_believed(peer: str) -> None:
    assert await seen(SAYING_ALL, peer=peer) == (peer, "http", "localhost")


async def test_nobody_is_believed_where_nobody_is_trusted() -> None:
    assert await seen(SAYING_ALL, trusted=()) == (PEER, "http", "localhost")


async def test_a_peer_without_an_address_is_not_believed() -> None:
    assert await seen(SAYING_ALL, peer=None) == ("", "http", "localhost")


@pytest.mark.parametrize("peer", ["192.0.2.1", "10.255.0.1", "::ffff:10.0.0.1", "2001:db8:ffff::9", "2001:DB8:FFFF::9"])
async def test_trust_is_by_network_also_for_ipv6_and_ipv4_written_as_ipv6(peer: str) -> None:
    assert (await seen([(b"x-forwarded-for", CLIENT.encode())], peer=peer))[0] == CLIENT


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, 10.0.0.1", "203.0.113.7"),
        ("203.0.113.7,10.0.0.1 , 10.0.0.2", "203.0.113.7"),
        ("1.1.1.1, 203.0.113.7, 10.0.0.1", "203.0.113.7"),
        ("10.0.0.9, 203.0.113.7", "203.0.113.7"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("fe80::7%eth0", "fe80::7"),
        ("2001:db8::7, 2001:db8:ffff::1", "2001:db8::7"),
        ("1.1.1.1, unknown", PEER),
        ("1.1.1.1, 203.0.113.777", PEER),
        ("1.1.1.1, ", PEER),
        ("", PEER),
        (",,,", PEER),
        ("localhost", PEER),
        ("[", PEER),
        ("203.0.113.7; 1.1.1.1", PEER),
    ],
)
async def test_hops_are_walked_from_the_right_as_long_as_they_are_trusted(chain: str, expected: str) -> None:
    assert (await seen([(b"x-forwarded-for", chain.encode())]))[0] == expected


async def test_a_chain_in_several_header_lines_is_one_chain() -> None:
    lines = [(b"x-forwarded-for", b"1.1.1.1, 203.0.113.7"), (b"x-forwarded-for", b"10.0.0.1")]
    assert (await seen(lines))[0] == CLIENT


async def test_x_real_ip_serves_where_there_is_no_chain() -> None:
    assert (await seen([(b"x-real-ip", CLIENT.encode())]))[0] == CLIENT
    assert (await seen([(b"x-real-ip", b"1.1.1.1"), (b"x-forwarded-for", CLIENT.encode())]))[0] == CLIENT


@pytest.mark.parametrize(
    ("proto", "chain", "expected"),
    [
        ("https", "203.0.113.7", "https"),
        ("HTTPS", "203.0.113.7", "https"),
        ("https", "203.0.113.7, 10.0.0.1", "https"),
        ("https, http", "203.0.113.7, 10.0.0.1", "https"),
        ("https, http", "203.0.113.7", "http"),
        ("https, http, http", "1.1.1.1, 203.0.113.7, 10.0.0.1", "http"),
        ("https", "", "https"),
        ("wss", "203.0.113.7", "http"),
        ("javascript", "203.0.113.7", "http"),
        ("", "203.0.113.7", "http"),
    ],
)
async def test_the_scheme_is_what_the_outermost_trusted_hop_said(proto: str, chain: str, expected: str) -> None:
    headers = [(b"x-forwarded-for", chain.encode()), (b"x-forwarded-proto", proto.encode())]
    assert (await seen(headers))[1] == expected


async def test_the_host_is_what_the_outermost_trusted_hop_said() -> None:
    chain = (b"x-forwarded-for", b"203.0.113.7, 10.0.0.1")
    assert (await seen([chain, (b"x-forwarded-host", b"mcp.example.com, inner")]))[2] == "mcp.example.com"
    assert (await seen([chain, (b"x-forwarded-host", b"evil, mcp.example.com, inner")]))[2] == "mcp.example.com"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=203.0.113.7;proto=https;host=mcp.example.com", (CLIENT, "https", "mcp.example.com")),
        ('For="203.0.113.7:4711"; Proto=HTTPS ; Host="mcp.example.com"', (CLIENT, "https", "mcp.example.com")),
        ('for="[2001:db8::7]:4711";proto=https', ("2001:db8::7", "https", "localhost")),
        ("for=203.0.113.7;proto=https, for=10.0.0.1;proto=http", (CLIENT, "https", "localhost")),
        ("for=203.0.113.7, for=10.0.0.1;proto=https;host=a.example", (CLIENT, "https", "a.example")),
        ("for=unknown;proto=https", (PEER, "https", "localhost")),
        ("for=_hidden, for=10.0.0.1", (PEER, "http", "localhost")),
        ("proto=https", (PEER, "https", "localhost")),
        ("for", (PEER, "http", "localhost")),
        ("for=", (PEER, "http", "localhost")),
        (";;,,=,", (PEER, "http", "localhost")),
        ('for="', (PEER, "http", "localhost")),
    ],
)
async def test_the_standard_header_is_read_too(value: str, expected: tuple[str, str, str]) -> None:
    assert await seen([(b"forwarded", value.encode())]) == expected


@pytest.mark.parametrize(
    "forged",
    ["host=evil.example;proto=https", "for=1.1.1.1;host=evil.example;proto=https", 'for="', "for=10.0.0.9;host=evil"],
)
async def test_what_the_client_itself_wrote_into_the_chain_is_not_believed(forged: str) -> None:
    assert await seen([(b"forwarded", f"{forged}, for={CLIENT}".encode())]) == (CLIENT, "http", "localhost")
    lines = [(b"forwarded", forged.encode()), (b"forwarded", f"for={CLIENT}".encode())]
    assert await seen(lines) == (CLIENT, "http", "localhost")


async def test_a_standard_header_passed_through_does_not_outdo_the_chain_a_proxy_wrote() -> None:
    """Most proxies write `X-Forwarded-For` and let a client's own `Forwarded` through."""
    forged = (b"forwarded", b"for=1.1.1.1;host=evil.example")
    assert await seen([forged, (b"x-forwarded-for", CLIENT.encode())]) == (CLIENT, "http", "localhost")


@pytest.mark.parametrize(
    ("peer", "value", "expected"),
    [
        (PEER, b"trace-1.a_B", "trace-1.a_B"),
        (PEER, b"x" * 64, "x" * 64),
        (PEER, b"x" * 65, ""),
        (PEER, b"", ""),
        (PEER, b"a b", ""),
        (PEER, b"a\xff", ""),
        ("198.51.100.1", b"trace-1", ""),
    ],
)
async def test_a_request_id_is_taken_over_from_a_trusted_proxy_if_it_looks_like_one(
    peer: str, value: bytes, expected: str
) -> None:
    scope = request([HOST, (b"x-request-id", value)], client=peer)
    answer = await ask(Forwarded(Inner(), trusted=TRUSTED), scope)
    assert answer.record.request_id == expected


async def test_the_record_names_the_client_behind_the_proxy() -> None:
    scope = request([HOST, (b"x-forwarded-for", CLIENT.encode())])
    assert (await ask(Forwarded(Inner(), trusted=TRUSTED), scope)).record.client == CLIENT


async def test_a_request_without_such_headers_is_not_touched() -> None:
    assert await seen([(b"accept", b"*/*")]) == (PEER, "http", "localhost")


async def test_longish_peers_are_not_remembered_for_ever() -> None:
    """Whoever is trusted without an end to it may write anything as an address."""
    layer = Forwarded(Inner(), trusted=("::/0",))
    assert layer.is_trusted("fe80::1%" + "z" * 10_000)
    assert not any(len(address) > 64 for address in vars(layer)["_known"])


VALUES = st.text(alphabet='for=host;,:"[]. 0123456789abcdef%_\xe9', max_size=60).map(
    lambda text: text.encode("latin-1")
)


@given(headers=st.lists(st.tuples(st.sampled_from(sorted(NAMES)), VALUES), max_size=6))
async def test_no_value_breaks_it(headers: list[tuple[bytes, bytes]]) -> None:
    client, scheme, _ = await seen(headers)
    assert ipaddress.ip_address(client)
    assert scheme in ("http", "https")


@given(forged=VALUES, name=st.sampled_from([b"x-forwarded-for", b"forwarded"]))
async def test_nothing_a_client_writes_hides_its_own_address(forged: bytes, name: bytes) -> None:
    written = CLIENT.encode() if name == b"x-forwarded-for" else b"for=" + CLIENT.encode()
    assert await seen([(name, forged + b", " + written)]) == (CLIENT, "http", "localhost")
