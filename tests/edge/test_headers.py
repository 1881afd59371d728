"""Refusals by the head alone, and the headers every response carries."""

import pytest

from portside.edge.entry import SECURITY_HEADERS
from portside.edge.headers import SINGLE, HeadLimits
from portside.edge.stack import EdgeOptions, build
from tests.edge.asked import HOST, Inner, Pairs, ask, request

pytestmark = pytest.mark.anyio


def limits(inner: Inner | None = None) -> HeadLimits:
    return HeadLimits(inner or Inner(), max_headers=20, max_url_bytes=30)


@pytest.mark.parametrize("name", sorted(SINGLE))
@pytest.mark.parametrize("second", [b"1", b"2"])
async def test_a_deciding_header_sent_twice_is_refused_even_if_both_agree(name: bytes, second: bytes) -> None:
    inner = Inner()
    answer = await ask(limits(inner), request([HOST, (name, b"1"), (b"accept", b"*/*"), (name, second)]))
    assert (answer.status, inner.seen) == (400, [])
    assert name.decode() in answer.json["error"]["message"]


@pytest.mark.parametrize("name", [b"accept", b"cookie", b"x-any", b"mcp-param-region", b"via"])
async def test_other_headers_may_be_repeated(name: bytes) -> None:
    assert (await ask(limits(), request([HOST, (name, b"1"), (name, b"2")]))).status == 200


@pytest.mark.parametrize("number", [20, 21])
async def test_headers_are_counted_repeated_ones_too(number: int) -> None:
    repeated: Pairs = [HOST, *[(b"x-any", b"1")] * (number - 1)]
    different: Pairs = [HOST, *((b"x-%d" % index, b"1") for index in range(number - 1))]
    for headers in (repeated, different):
        assert (await ask(limits(), request(headers))).status == (200 if number <= 20 else 431)


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/" * 30, b"", 200),
        ("/" * 31, b"", 414),
        ("/mcp", b"q" * 26, 200),
        ("/mcp", b"q" * 27, 414),
        ("/", b"", 200),
    ],
)
async def test_path_and_query_are_measured_together(path: str, query: bytes, expected: int) -> None:
    assert (await ask(limits(), request(path=path, query=query))).status == expected


async def test_a_path_is_measured_as_it_was_sent() -> None:
    scope = request(path="/é", also={"raw_path": b"/%C3%A9" * 5})
    assert (await ask(limits(), scope)).status == 414
    assert (await ask(limits(), request(also={"raw_path": None}))).status == 200


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        (b"identity", 200),
        (b" Identity ", 200),
        (b"", 200),
        (b"gzip", 415),
        (b"br", 415),
        (b"identity, gzip", 415),
        (b"x-other", 415),
    ],
)
async def test_an_encoded_body_is_refused(encoding: bytes, expected: int) -> None:
    assert (await ask(limits(), request([HOST, (b"content-encoding", encoding)]))).status == expected


async def answered(headers: Pairs, *, scheme: str = "http", host: bytes = b"localhost") -> list[tuple[bytes, bytes]]:
    edge = build(Inner(headers=headers), EdgeOptions(), lambda record: None)
    return (await ask(edge, request([(b"host", host)], scheme=scheme))).headers


def values(headers: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for given, value in headers if given == name]


@pytest.mark.parametrize("host", [b"localhost", b"evil.example"])
async def test_every_response_carries_the_security_headers_refusals_too(host: bytes) -> None:
    headers = await answered([(b"content-type", b"text/plain")], host=host)
    for name, value in SECURITY_HEADERS:
        assert values(headers, name) == [value]
    assert values(headers, b"cache-control") == [b"no-store"]
    assert len(values(headers, b"x-request-id")) == 1
    assert len(values(headers, b"content-type")) == 1


@pytest.mark.parametrize(("scheme", "expected"), [("https", 1), ("http", 0)])
async def test_strict_transport_is_demanded_over_https_only(scheme: str, expected: int) -> None:
    assert len(values(await answered([], scheme=scheme), b"strict-transport-security")) == expected


async def test_strict_transport_is_demanded_behind_a_proxy_that_ends_tls() -> None:
    edge = build(Inner(), EdgeOptions(trusted_proxies=["192.0.2.10"]), lambda record: None)
    answer = await ask(edge, request([HOST, (b"x-forwarded-proto", b"https")]))
    assert len(answer.all(b"strict-transport-security")) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"cache-control", b"max-age=60"),
        (b"content-security-policy", b"default-src 'none'"),
        (b"x-frame-options", b"SAMEORIGIN"),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"strict-transport-security", b"max-age=1"),
    ],
)
async def test_what_the_hosted_server_says_itself_is_said_once(name: bytes, value: bytes) -> None:
    """Two policies are combined by browsers, two frame options are invalid: the page's own word counts."""
    headers = await answered([(name, value)], scheme="https")
    assert values(headers, name) == [value]
    others = {given for given, _ in SECURITY_HEADERS} - {name}
    assert all(len(values(headers, other)) == 1 for other in others)


async def test_the_request_id_is_ours_alone() -> None:
    ids = values(await answered([(b"x-request-id", b"other")]), b"x-request-id")
    assert len(ids) == 1
    assert ids != [b"other"]


async def test_headers_that_may_repeat_are_left_alone() -> None:
    cookies: Pairs = [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    assert values(await answered(cookies), b"set-cookie") == [b"a=1", b"b=2"]
