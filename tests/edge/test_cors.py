"""Browser clients: preflights and exposed headers for listed origins, nothing for others (Fetch, CORS protocol)."""

from dataclasses import replace

import pytest

from portside.edge.asgi import Receive, Scope, Send
from portside.edge.cors import Cors
from portside.edge.stack import EdgeOptions, build
from portside.errors import HostGone
from portside.observe.record import Record
from tests.edge.asked import HOST, Answer, Inner, Pairs, ask, request

pytestmark = pytest.mark.anyio

NOTHING: list[bytes] = []
LISTED = b"https://app.example.com"
NEEDED = ("authorization", "content-type", "mcp-protocol-version", "mcp-session-id", "mcp-method", "mcp-name")


def cors(inner: Inner | None = None) -> Cors:
    return Cors(inner or Inner(), is_listed=lambda origin: origin == LISTED)


def from_page(origin: bytes = LISTED, *headers: tuple[bytes, bytes], method: str = "POST") -> Scope:
    return request([HOST, (b"origin", origin), *headers], method=method)


def preflight(origin: bytes = LISTED, wanted: bytes | None = b"content-type") -> Scope:
    asked: Pairs = [(b"access-control-request-method", b"POST")]
    return from_page(
        origin, *asked, *([] if wanted is None else [(b"access-control-request-headers", wanted)]), method="OPTIONS"
    )


def words(answer: Answer, name: bytes) -> set[str]:
    return {word.strip() for value in answer.all(name) for word in value.decode("latin-1").split(",")}


def told(answer: Answer) -> list[bytes]:
    return [name for name, _ in answer.headers if name.startswith(b"access-control-")]


async def test_a_preflight_of_a_listed_origin_is_answered_without_the_application() -> None:
    inner = Inner()
    answer = await ask(cors(inner), preflight())
    assert (answer.status, answer.body, inner.seen) == (204, b"", [])
    assert answer.all(b"access-control-allow-origin") == [LISTED]
    assert answer.all(b"vary") == [b"origin"]
    assert answer.all(b"access-control-max-age") == [b"600"]
    assert words(answer, b"access-control-allow-methods") >= {"GET", "POST", "DELETE"}
    assert words(answer, b"access-control-allow-headers") >= {*NEEDED}


@pytest.mark.parametrize(
    ("wanted", "mirrored"),
    [
        (None, set[str]()),
        (b"", set[str]()),
        (b"mcp-param-region", {"mcp-param-region"}),
        (b"content-type, Mcp-Param-Region,mcp-param-x", {"mcp-param-region", "mcp-param-x"}),
        (b"x-other, ,,\xe9, mcp-param", set[str]()),
    ],
)
async def test_mirrored_parameters_are_allowed_and_nothing_else_asked_for(
    wanted: bytes | None, mirrored: set[str]
) -> None:
    plain = words(await ask(cors(), preflight()), b"access-control-allow-headers")
    answer = await ask(cors(), preflight(wanted=wanted))
    assert answer.status == 204
    assert words(answer, b"access-control-allow-headers") == plain | mirrored


async def test_credentials_are_never_allowed() -> None:
    for scope in (preflight(), from_page()):
        assert (await ask(cors(), scope)).all(b"access-control-allow-credentials") == []


async def test_a_page_of_a_listed_origin_may_read_the_answer_and_the_headers_it_needs() -> None:
    answer = await ask(cors(Inner(headers=[(b"mcp-session-id", b"1")])), from_page())
    assert answer.all(b"mcp-session-id") == [b"1"]
    assert answer.all(b"access-control-allow-origin") == [LISTED]
    assert answer.all(b"vary") == [b"origin"]
    exposed = {"mcp-session-id", "mcp-protocol-version", "x-request-id", "retry-after", "www-authenticate"}
    assert words(answer, b"access-control-expose-headers") == exposed


@pytest.mark.parametrize("origin", [b"https://evil.example", b"null", b"", b"http://localhost:6274", b"\xff"])
async def test_an_origin_that_is_not_listed_gets_nothing(origin: bytes) -> None:
    inner = Inner()
    for scope in (preflight(origin), from_page(origin)):
        answer = await ask(cors(inner), scope)
        assert (answer.status, told(answer)) == (200, [])
    assert len(inner.seen) == 2


async def test_a_request_that_no_page_made_gets_nothing() -> None:
    assert told(await ask(cors(), request())) == []


async def test_options_that_are_no_preflight_reach_the_application() -> None:
    inner = Inner()
    assert (await ask(cors(inner), from_page(method="OPTIONS"))).status == 200
    assert len(inner.seen) == 1


@pytest.mark.parametrize(
    ("listed", "origin", "expected"),
    [
        (("https://app.example.com",), b"https://app.example.com", (204, [b"https://app.example.com"])),
        (("https://APP.example.com/",), b"https://app.EXAMPLE.com", (204, [b"https://app.EXAMPLE.com"])),
        (("*",), b"https://any.example", (204, [b"https://any.example"])),
        (("*",), b"null", (204, [b"null"])),
        (("https://app.example.com",), b"https://evil.example", (403, NOTHING)),
        ((), b"https://app.example.com", (403, NOTHING)),
    ],
)
async def test_behind_the_whole_edge_only_listed_origins_get_a_preflight(
    listed: tuple[str, ...], origin: bytes, expected: tuple[int, list[bytes]]
) -> None:
    whole = build(Inner(), EdgeOptions(allowed_origins=listed), _forget)
    answer = await ask(whole, preflight(origin))
    assert (answer.status, answer.all(b"access-control-allow-origin")) == expected


async def test_a_listed_page_may_read_refusals_and_failures_too() -> None:
    """Else a script sees a network error in place of `Retry-After`."""

    async def gone(scope: Scope, receive: Receive, send: Send) -> None:
        raise HostGone("gone")

    options = EdgeOptions(allowed_origins=[LISTED.decode()])
    full, small = replace(options, max_in_flight=0), replace(options, max_body_bytes=-1)
    for app, given in ((gone, options), (Inner(), full), (Inner(), small)):
        whole = build(app, given, _forget)
        answer = await ask(whole, from_page())
        assert answer.status in (503, 413)
        assert answer.all(b"access-control-allow-origin") == [LISTED]
        assert "retry-after" in words(answer, b"access-control-expose-headers")


def _forget(record: Record) -> None:
    assert record.request_id
