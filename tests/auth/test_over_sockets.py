"""The edge with authentication in it, over real sockets: what a client and an issuer see of it."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from portside.auth import discovery
from portside.auth.authenticators import ByToken
from portside.auth.challenge import Challenges
from portside.auth.fetch import Fetcher
from portside.auth.jwks import RemoteKeys
from portside.auth.metadata import Metadata, resource_url
from portside.auth.tokens import Verifier
from portside.clock import SystemClock
from portside.edge.asgi import Receive, Scope, Send
from portside.edge.authenticate import Authenticate
from portside.edge.cors import Cors
from portside.edge.entry import Entry
from portside.edge.headers import HeadLimits
from portside.observe.record import Record
from portside.serve import server
from portside.serve.protocol import protocol_class
from tests.auth import grammar
from tests.edge.asked import answer
from tests.issuer import Issuer, key
from tests.issuer import running as running_issuer
from tests.journeys.raw import Connection, Reply, get, post

pytestmark = pytest.mark.anyio

SIGNER = key("journey", "ES256")


@dataclass
class Behind:
    """What got through."""

    issuer: Issuer
    port: int = 0
    resource: str = ""
    paths: list[str] = field(default_factory=list[str])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        await answer(send, headers=[(b"content-length", b"3")])

    async def ask(self, request: bytes) -> Reply:
        connection = await Connection.open(self.port)
        try:
            return await connection.ask(request)
        finally:
            connection.close()
            await connection.writer.wait_closed()


@asynccontextmanager
async def serving() -> AsyncGenerator[Behind]:
    sock = server.bind("127.0.0.1", 0)
    clock = SystemClock()
    async with running_issuer() as issuer:
        issuer.publish(SIGNER)
        behind = Behind(issuer, sock.getsockname()[1])
        behind.resource = resource_url(f"http://localhost:{behind.port}")
        keys = RemoteKeys(issuer.url, discovery.of(issuer.url), Fetcher().get, clock)
        judge = Verifier({issuer.url: keys}, audience=behind.resource, clock=clock)
        metadata = Metadata(behind.resource, [issuer.url], ["read"])
        challenges = Challenges(metadata.url, frozenset({"read"}))
        guarded = Authenticate(behind, ways=[ByToken(judge)], challenges=challenges, metadata=metadata)
        records: list[Record] = []
        app = Entry(
            HeadLimits(Cors(guarded, is_listed=lambda origin: False), max_headers=100, max_url_bytes=8192),
            emit=records.append,
        )
        protocol = protocol_class(header_timeout_s=5, max_header_bytes=32_000, max_url_bytes=8192, max_connections=100)
        made = server.make(app, protocol, idle_timeout_s=5)
        task = asyncio.create_task(made.serve(sockets=[sock]))
        try:
            async with asyncio.timeout(20):
                yield behind
        finally:
            made.should_exit = True
            await task
            await keys.close()


async def test_a_client_finds_its_way_from_the_refusal_to_the_issuer_and_back_in() -> None:
    """Spec: MCP 2026-07-28, Authorization Server Discovery, Sequence Diagram."""
    async with serving() as behind:
        refused = await behind.ask(post({}))
        assert refused.status == 401
        challenge = grammar.parse(refused.headers["www-authenticate"])
        assert challenge["scope"] == "read"
        path = challenge["resource_metadata"].removeprefix(f"http://localhost:{behind.port}")
        for place in (path, "/.well-known/oauth-protected-resource"):
            document = (await behind.ask(get(place))).json
            assert document["resource"] == behind.resource
        (issuer,) = document["authorization_servers"]
        assert issuer == behind.issuer.url
        now = SystemClock().now()
        claims = behind.issuer.claims(aud=document["resource"], iat=now, exp=now + 60)
        token = SIGNER.token(claims)
        for _ in range(2):
            assert (await behind.ask(post({}, {"Authorization": f"Bearer {token}"}))).status == 200
        assert behind.paths == ["/mcp", "/mcp"]
        foreign = SIGNER.token({**claims, "aud": "http://localhost:1/mcp"})
        refused = await behind.ask(post({}, {"Authorization": f"Bearer {foreign}"}))
        assert grammar.parse(refused.headers["www-authenticate"])["error"] == "invalid_token"


TARGETS = (
    "/mcp", "/mcp/", "/", "//health", "/health/", "/health/..", "/./health", "/health;x", "/Health", "/HEALTH",
    "/health%00", "/health%2f", "/%2fhealth", "/health%20", "/mcp?x=/health", "/mcp#/health", "/mcp/../health", "/x",
    "/.well-known/oauth-protected-resource/", "/.well-known//oauth-protected-resource", "/metrics", "*",
    "http://localhost/mcp", "http://evil.example/health/mcp", "/health%3Fx", "/health%23", "/health%252f",
)  # fmt: skip


async def test_without_credentials_only_open_paths_are_reached_however_they_are_written() -> None:
    async with serving() as behind:
        for target in TARGETS:
            for method in ("GET", "POST", "DELETE", "OPTIONS"):
                reply = await behind.ask(get(target, {"Content-Length": "0"}, method=method))
                assert reply.status in (400, 401), (method, target, reply.status)
        assert behind.paths == []
        # An escape that means the same path is the same path, for whoever routes it behind as well.
        for target in ("/health", "/ready", "/%68ealth", "/health?x=1"):
            assert (await behind.ask(get(target))).status == 200
        assert set(behind.paths) == {"/health", "/ready"}


async def test_what_is_sent_oddly_is_refused_over_the_wire_too() -> None:
    async with serving() as behind:
        now = SystemClock().now()
        token = SIGNER.token(behind.issuer.claims(aud=behind.resource, iat=now, exp=now + 60))
        good = f"Authorization: Bearer {token}\r\n"
        heads = {
            good + good: 400,
            good + "AUTHORIZATION: Bearer x\r\n": 400,
            f"Authorization:Bearer\t{token}\r\n": 401,
            f"Authorization : Bearer {token}\r\n": 400,
            f"Authorization: Bearer {token} {token}\r\n": 401,
            f"Authorization: Basic {token}\r\n": 401,
            f"X-Authorization: Bearer {token}\r\n": 401,
            f"Cookie: access_token={token}\r\n": 401,
            f"Authorization: bearer {token}\r\n": 200,
            good: 200,
        }
        for head, status in heads.items():
            reply = await behind.ask(f"GET /mcp HTTP/1.1\r\nHost: localhost\r\n{head}\r\n".encode())
            assert reply.status == status, head[:30]
            assert token not in json.dumps([reply.headers, reply.body.decode()])
