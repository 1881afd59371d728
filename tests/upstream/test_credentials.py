"""What portside shows an upstream: fixed headers as they are, and tokens fetched once, renewed in time, never told."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import pytest

from portside.clock import ManualClock
from portside.errors import HostGone, StartFailed
from portside.hosting.http import address as http_address
from portside.hosting.http.client import Pool
from portside.hosting.upstream.credentials import StaticHeaders, bearer
from portside.hosting.upstream.endpoint import Endpoint
from portside.hosting.upstream.host import UpstreamOptions, upstream
from portside.hosting.upstream.modern import ModernLink
from portside.hosting.upstream.oauth import ClientCredentials, OAuthClient
from portside.secret import Secret
from tests.upstream.scripted import Asked, Peer, Scripted, scripted
from tests.upstream.talking import Heard, modern_call, modern_tool

pytestmark = pytest.mark.anyio

SECRET = "hunter2:/+&="


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("Bad Name", b"v", "no header name"),
        ("x-näme", b"v", "no header name"),
        ("Host", b"v", "set by the protocol"),
        ("Mcp-Session-Id", b"v", "set by the protocol"),
        ("x-key", b"", "empty"),
        ("x-key", b"hunter2\r\nx-evil: 1", "holds what no header may"),
        ("x-key", b" hunter2", "holds what no header may"),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused_without_its_value(name: str, value: bytes, says: str) -> None:
    with pytest.raises(StartFailed, match=says) as caught:
        StaticHeaders({name: Secret(value)})
    assert "hunter2" not in str(caught.value)


def test_every_header_that_cannot_be_sent_is_told_at_once() -> None:
    with pytest.raises(StartFailed) as caught:
        StaticHeaders({"Host": Secret(b"v"), "x key": Secret(b"v"), "x-fine": Secret(b"v")})
    assert "'host'" in str(caught.value)
    assert "'x key'" in str(caught.value)
    assert "x-fine" not in str(caught.value)


async def test_a_bearer_token_is_sent_and_hidden() -> None:
    credentials = bearer(Secret(b"hunter2\n"))
    assert list(await credentials.headers()) == [(b"authorization", b"Bearer hunter2")]
    assert "hunter2" not in repr(credentials)


class Tokens:
    """A token endpoint: hands out `token-1`, `token-2` and so on, or answers as it is told."""

    def __init__(self) -> None:
        self.given = 0
        self.members: dict[str, Any] = {"token_type": "Bearer", "expires_in": 1000}
        self.answer: Callable[[Peer], Awaitable[None]] | None = None
        self.gate: asyncio.Event | None = None

    async def __call__(self, asked: Asked, peer: Peer) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.answer is not None:
            await self.answer(peer)
            return
        self.given += 1
        await peer.json({"access_token": f"token-{self.given}", **self.members})


@asynccontextmanager
async def credentialed(
    tokens: Tokens, change: Callable[[OAuthClient], OAuthClient] = lambda client: client
) -> AsyncGenerator[tuple[ClientCredentials, Scripted, ManualClock]]:
    async with scripted(tokens) as server, asyncio.timeout(20):
        endpoint = replace(server.address, target=b"/token")
        client = change(OAuthClient(endpoint, "id:1", Secret(SECRET.encode()), ("read", "write"), "https://up/mcp"))
        clock = ManualClock()
        credentials = ClientCredentials(client, Pool(endpoint), clock)
        try:
            yield credentials, server, clock
        finally:
            await credentials.close()


async def test_a_token_is_asked_for_as_rfc_6749_says() -> None:
    async with credentialed(Tokens()) as (credentials, server, _):
        assert list(await credentials.headers()) == [(b"authorization", b"Bearer token-1")]
    asked = server.asked[0]
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["client_credentials"],
        "scope": ["read write"],
        "resource": ["https://up/mcp"],
    }
    assert asked.target == "/token"
    kind, _, encoded = asked.headers["authorization"].partition(" ")
    id_, _, secret = base64.b64decode(encoded).decode().partition(":")
    assert (kind, unquote_plus(id_), unquote_plus(secret)) == ("Basic", "id:1", SECRET)


async def test_a_client_may_be_named_in_the_form_instead() -> None:
    async with credentialed(Tokens(), lambda client: replace(client, authentication="post")) as (
        credentials,
        server,
        _,
    ):
        await credentials.headers()
    form = parse_qs(server.asked[0].body.decode())
    assert (form["client_id"], form["client_secret"]) == (["id:1"], [SECRET])
    assert "authorization" not in server.asked[0].headers


async def test_a_token_is_kept_until_shortly_before_its_end() -> None:
    async with credentialed(Tokens()) as (credentials, server, clock):
        first = await credentials.headers()
        clock.advance(939)
        assert await credentials.headers() == first
        clock.advance(2)
        assert await credentials.headers() != first
    assert len(server.asked) == 2


async def test_a_hundred_calls_at_once_fetch_one_token() -> None:
    tokens = Tokens()
    tokens.gate = asyncio.Event()
    async with credentialed(tokens) as (credentials, server, _):
        calls = [asyncio.ensure_future(credentials.headers()) for _ in range(100)]
        async with server.changed:
            await server.changed.wait_for(lambda: bool(server.asked))
        calls[0].cancel()  # who leaves takes the token from nobody
        tokens.gate.set()
        got = await asyncio.gather(*calls[1:])
    assert {tuple(headers) for headers in got} == {((b"authorization", b"Bearer token-1"),)}
    assert len(server.asked) == 1


def says(status: int, value: object) -> Callable[[Peer], Awaitable[None]]:
    async def answer(peer: Peer) -> None:
        await peer.json(value, status)

    return answer


@pytest.mark.parametrize(
    ("status", "value", "expected"),
    [
        (400, {"error": "invalid_client", "error_description": SECRET}, r"400 \(invalid_client\)"),
        (401, {"error": SECRET}, "answered 401; expected"),
        (500, "odd", "answered 500"),
        (200, {"token_type": "Bearer"}, "without an access_token"),
        (200, {"token_type": "Bearer", "access_token": "a\r\nb"}, "without an access_token"),
        (200, {"token_type": "mac", "access_token": "hunter2"}, "another type"),
        (200, [], "without an access_token"),
    ],
)
async def test_a_refusal_names_the_endpoint_and_no_secret(status: int, value: object, expected: str) -> None:
    tokens = Tokens()
    tokens.answer = says(status, value)
    async with credentialed(tokens) as (credentials, server, _):
        with pytest.raises(HostGone, match=expected) as caught:
            await credentials.headers()
        assert f"{server.address.origin}/token" in caught.value.message
        assert "hunter2" not in caught.value.message
        tokens.answer = None
        assert list(await credentials.headers()) == [(b"authorization", b"Bearer token-1")]


async def test_a_refused_token_is_replaced_once_and_the_call_repeated() -> None:
    tokens = Tokens()

    async def answer(asked: Asked, peer: Peer) -> None:
        if asked.headers["authorization"] == "Bearer token-1":
            await peer.answer(401)
        else:
            await peer.result(asked, {"resultType": "complete"})

    async with credentialed(tokens) as (credentials, _, _), scripted(answer) as server:
        pool = Pool(server.address)
        link = ModernLink(Endpoint(server.url, b"/mcp", pool, credentials))
        await asyncio.gather(*(link.request(modern_tool("t", id=n), Heard(), modern_call()) for n in range(10)))
        await pool.close()
    assert tokens.given == 2


async def test_a_server_that_refuses_fresh_tokens_too_is_not_asked_for_ever() -> None:
    async def answer(asked: Asked, peer: Peer) -> None:
        await peer.answer(401)

    async with credentialed(Tokens()) as (credentials, _, _), scripted(answer) as server:
        pool = Pool(server.address)
        link = ModernLink(Endpoint(server.url, b"/mcp", pool, credentials))
        with pytest.raises(HostGone, match="401"):
            await link.request(modern_tool("t"), Heard(), modern_call())
        await pool.close()
    assert len(server.asked) == 2


def test_a_token_endpoint_that_is_not_encrypted_is_refused() -> None:
    client = OAuthClient(http_address.parse("http://as.example.com/token"), "id", Secret(b"hunter2"))
    with pytest.raises(StartFailed, match="not encrypted"):
        upstream("https://example.com/mcp", UpstreamOptions(oauth=client))


def test_two_ways_to_set_authorization_are_one_too_many() -> None:
    client = OAuthClient(http_address.parse("https://as.example.com/token"), "id", Secret(b"hunter2"))
    with pytest.raises(StartFailed, match="both"):
        upstream("https://example.com/mcp", UpstreamOptions({"Authorization": Secret(b"Bearer x")}, client))


def test_sending_credentials_in_the_clear_is_said() -> None:
    host = upstream("http://example.com/mcp", UpstreamOptions({"x-api-key": Secret(b"hunter2")}))
    assert host.description.notices == ("credentials are sent to http://example.com/mcp unencrypted",)
