"""What a client without the right token is told, at every way in: directly, and behind each proxy with TLS."""

import asyncio
import json
import re
import ssl
from collections.abc import Generator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Final, cast
from urllib.parse import urlsplit

import pytest

from tests import proxies
from tests.auth import grammar
from tests.issuer import Issuer, key
from tests.journeys.raw import Reply, get
from tests.processes import Serving
from tests.protected.made import PUBLIC, RESOURCE, Deployment, ask, call, issuing, modern, printed, text_of, unforeseen

pytestmark = pytest.mark.anyio

WAYS: Final = ("direct", *proxies.KINDS)
HOST: Final = "mcp.example.com"
INSERTED: Final = "/.well-known/oauth-protected-resource/mcp"
ROOT: Final = "/.well-known/oauth-protected-resource"
SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
RULES: Final = """
[scopes]
required = ["mcp"]
advertised = ["mcp", "notes:read"]
[scopes.tools]
"remove" = ["notes:write", "notes:read"]
"""
LIES: Final = {
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-For": "203.0.113.66",
    "X-Forwarded-Port": "81",
    "X-Real-IP": "203.0.113.66",
    "X-Forwarded-Prefix": "/evil",
    "X-Original-URL": "/health",
    "X-Rewrite-URL": "/health",
    "Forwarded": "for=203.0.113.66;proto=http;host=evil.example",
}
"""What a client may say of itself, hoping to be believed."""


@dataclass(frozen=True)
class Scene:
    """The server, its issuer, and where each way to it begins: a port, and what to trust there."""

    server: Serving
    deployment: Deployment
    issuer: Issuer
    ways: Mapping[str, tuple[int, ssl.SSLContext | None]]

    async def ask(self, way: str, request: bytes, *, source: str = "127.0.0.3") -> Reply:
        """Ask from an address that is no trusted proxy's."""
        port, tls = self.ways[way]
        return await ask(port, request, tls=tls, source=source)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Generator[Scene]:
    folder = tmp_path_factory.mktemp("challenge")
    (folder / "portside.toml").write_text(RULES, encoding="utf-8")
    deployment = Deployment(folder)
    with ExitStack() as stack:
        issuer = stack.enter_context(issuing())
        issuer.publish(key("challenge", "ES256"))
        environment = {"PORTSIDE_AUTH_ISSUERS": issuer.url, "PORTSIDE_TRUSTED_PROXIES": "127.0.0.1"}
        arguments = ("--config", str(folder / "portside.toml"))
        server = stack.enter_context(deployment.serving(*arguments, environment=environment))
        front = replace(proxies.before(server.port), names=(HOST,))
        started = {kind: stack.enter_context(proxies.proxy(kind, front)) for kind in proxies.KINDS}
        ways = {kind: (one.port, one.trusting) for kind, one in started.items()}
        yield Scene(server, deployment, issuer, {"direct": (server.port, None), **ways})
        assert unforeseen(server) == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("headers", [{}, LIES], ids=["honest", "lying"])
async def test_a_client_without_a_token_is_told_where_to_get_one(
    scene: Scene, way: str, headers: dict[str, str]
) -> None:
    """Spec: RFC 9728 §5.1 and RFC 6750 §3.1; the scope is MCP 2026-07-28, Authorization, Scope Selection."""
    for request in (
        modern("tools/list", headers=headers, host=HOST),
        get("/mcp", {"Accept": "text/event-stream", **headers}, host=HOST),
        get("/mcp", headers, method="DELETE", host=HOST),
        get("/own/name", headers, host=HOST),
    ):
        reply = await scene.ask(way, request)
        assert reply.status == 401
        challenge = grammar.parse(reply.headers["www-authenticate"])
        assert challenge == {"resource_metadata": f"{PUBLIC}{INSERTED}", "scope": "mcp"}


@pytest.mark.parametrize("way", WAYS)
async def test_a_bad_token_is_called_bad_and_challenged_the_same_way(scene: Scene, way: str) -> None:
    for token in ("x.y.z", scene.deployment.token("ann", "mcp", seconds=-3600), "opaque"):
        reply = await scene.ask(way, modern("tools/list", token=token, headers=LIES, host=HOST))
        challenge = grammar.parse(reply.headers["www-authenticate"])
        assert (reply.status, challenge["error"]) == (401, "invalid_token")
        assert challenge["resource_metadata"] == f"{PUBLIC}{INSERTED}"
        assert challenge["scope"] == "mcp"
        assert token not in str(reply.headers) + reply.body.decode()


@pytest.mark.parametrize("way", WAYS)
async def test_a_lacking_scope_is_asked_for_together_with_all_the_others(scene: Scene, way: str) -> None:
    """Spec: MCP 2026-07-28, Authorization, Runtime Insufficient Scope Errors."""
    token = scene.deployment.token("ann", "mcp")
    reply = await scene.ask(way, call("remove", {"text": "x"}, token=token, host=HOST, headers=LIES))
    assert reply.status == 403
    challenge = grammar.parse(reply.headers["www-authenticate"])
    assert challenge["error"] == "insufficient_scope"
    assert challenge["scope"].split() == ["mcp", "notes:read", "notes:write"]
    assert challenge["resource_metadata"] == f"{PUBLIC}{INSERTED}"
    stepped_up = scene.deployment.token("ann", *challenge["scope"].split())
    assert text_of(await scene.ask(way, call("remove", {"text": "x"}, token=stepped_up, host=HOST))) == "removed x"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("path", [INSERTED, ROOT])
@pytest.mark.parametrize("headers", [{}, LIES], ids=["honest", "lying"])
async def test_the_metadata_document_names_this_server_and_its_issuer(
    scene: Scene, way: str, path: str, headers: dict[str, str]
) -> None:
    reply = await scene.ask(way, get(path, headers, host=HOST))
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    document = checked(reply.json)
    assert document["resource"] == RESOURCE
    assert document["authorization_servers"] == [scene.issuer.url]
    assert document["scopes_supported"] == ["mcp", "notes:read"]
    assert document["bearer_methods_supported"] == ["header"]
    assert "evil" not in reply.body.decode()


@pytest.mark.parametrize("kind", proxies.KINDS)
async def test_the_proxys_word_is_believed_and_the_clients_is_not(scene: Scene, kind: str) -> None:
    """Ours: where it says who asked over what, in the log and in the header that only HTTPS answers carry."""
    reply = await scene.ask(kind, modern("tools/list", headers=LIES, host=HOST), source="127.0.0.7")
    assert "strict-transport-security" in reply.headers
    assert await _client(scene, reply) == "127.0.0.7"


async def test_a_stranger_who_comes_directly_is_not_believed(scene: Scene) -> None:
    https = {**LIES, "X-Forwarded-Proto": "https", "Forwarded": "for=203.0.113.66;proto=https"}
    reply = await scene.ask("direct", modern("tools/list", headers=https, host=HOST), source="127.0.0.9")
    assert "strict-transport-security" not in reply.headers
    assert await _client(scene, reply) == "127.0.0.9"
    https["X-Forwarded-Host"] = HOST
    trusted = await scene.ask("direct", modern("tools/list", headers=https, host=HOST), source="127.0.0.1")
    assert trusted.status == 401
    assert "strict-transport-security" in trusted.headers
    assert await _client(scene, trusted) == "203.0.113.66"


def checked(document: object) -> dict[str, Any]:
    """Return a metadata document that keeps to RFC 9728 §2; raises AssertionError for one that does not."""
    assert isinstance(document, dict)
    members = cast("dict[str, Any]", document)
    resource = urlsplit(str(members["resource"]))
    assert resource.scheme == "https"
    assert resource.hostname
    assert not resource.fragment
    assert not resource.query
    servers: object = members["authorization_servers"]
    assert isinstance(servers, list)
    for server in cast("list[object]", servers):
        assert isinstance(server, str)
        assert urlsplit(server).hostname
    for scope in members.get("scopes_supported", []):
        assert isinstance(scope, str)
        assert SCOPE.fullmatch(scope)
    assert set(members.get("bearer_methods_supported", [])) <= {"header", "body", "query"}
    assert all(value != [] for value in members.values())  # RFC 9728 §3.2: what has no elements is left out
    return members


async def _client(scene: Scene, reply: Reply) -> str:
    """Return whom the log names as the client of an answered request; the line may come after the answer."""
    async with asyncio.timeout(10):
        while True:
            for line in printed(scene.server).splitlines():
                if reply.headers["x-request-id"] in line:
                    return str(json.loads(line)["client"])
            await asyncio.sleep(0.01)
