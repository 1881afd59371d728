"""Every path by every method, without credentials and with bad ones: nothing answers but an explicit list."""

import runpy
import time
from asyncio import timeout
from collections.abc import Generator, Mapping, Sequence
from typing import Final

import pytest

from tests import issuer as issuer_module
from tests.auth import forged
from tests.journeys.raw import get
from tests.processes import Serving
from tests.protected.made import RESOURCE, Deployment, ask, bearer, call, connected, issuing, text_of, unforeseen

pytestmark = pytest.mark.anyio

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
OPEN: Final = ("/health", "/ready", WELL_KNOWN, f"{WELL_KNOWN}/mcp")
"""The allow-list: what platforms probe, and what tells a client where to get a token."""

CLOSED: Final = (
    "/mcp", "/mcp/", "/", "/metrics", "/own/name", "/own/", "/boom", "/unknown", "/favicon.ico", "/robots.txt",
    "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/.well-known/", "/.env",
    f"{WELL_KNOWN}/", f"{WELL_KNOWN}/mcp/", f"{WELL_KNOWN}/mcp/x", f"{WELL_KNOWN}/other", f"{WELL_KNOWN}%2fmcp/x",
    "/.well-known//oauth-protected-resource", "/.WELL-KNOWN/oauth-protected-resource", "//health", "//mcp",
    "/health/", "/health/..", "/health/../mcp", "/./health", "/health;x", "/health;/../mcp", "/Health", "/HEALTH",
    "/health%00", "/health%2f", "/%2fhealth", "/health%20", "/health%3Fx", "/health%23", "/health%252f", "/ready/x",
    "/healthz", "/ready.json", "/mcp?x=/health", "/mcp/..;/health", "/mcp%2f..%2fhealth", "/mcp/../health",
    "/metrics/", "/metrics?x=/health", "/docs", "/openapi.json", "/sse", "/messages/", "/admin", "/console",
    "/register", "/authorize", "/token", "/oauth/token", "/\u00e9", "/mcp\\..\\health",
)  # fmt: skip
PAGE: Final = "https://app.example.com"
BAD: Final = (
    "Bearer", "Bearer ", "Bearer x", "Bearer a.b.c", "Basic YWRtaW46YWRtaW4=", "Digest username=admin", "Negotiate x",
    "bearer null", "Bearer undefined", "Bearer psk_00000000_0000000000000000000000000000000000000000000000000",
    "Bearer " + "A" * 7000, "Bearer eyJhbGciOiJub25lIn0.e30.", "DPoP x", "Bearer x, Bearer y", "\xe9", "Bearer \xe9",
)  # fmt: skip


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Serving, Deployment]]:
    """A server that takes API keys, tokens of its own, and tokens of the issuer that `tests.auth.forged` imitates."""
    deployment = Deployment(tmp_path_factory.mktemp("sweep"), forged.SECRET.reveal().hex(), issuer=forged.SHARED)
    with issuing() as issuer:
        issuer.publish(*forged.PUBLISHED)
        from_issuer = {
            "PORTSIDE_AUTH_ISSUERS": forged.ISSUER,
            "PORTSIDE_AUTH_JWKS_URL": f"{issuer.url}/keys",
            "PORTSIDE_API_KEYS": "true",
            "PORTSIDE_ALLOWED_ORIGINS": PAGE,
        }
        with deployment.serving(environment=from_issuer) as server:
            yield server, deployment
            assert unforeseen(server) == []


async def test_nothing_answers_without_credentials_but_the_allow_list(deployed: tuple[Serving, Deployment]) -> None:
    server, _ = deployed
    answered = {(path, method): await _status(server, path, method) for path in CLOSED for method in METHODS}
    # 400 is for what is no path at all: it names nothing that could be reached.
    odd = {key: status for key, status in answered.items() if status != 401}
    assert set(odd.values()) <= {400}
    assert {path for path, _ in odd} <= {"/\u00e9", "/mcp\\..\\health"}


async def test_the_allow_list_answers_reading_and_refuses_everything_else(
    deployed: tuple[Serving, Deployment],
) -> None:
    server, _ = deployed
    for path in OPEN:
        answered = {method: await _status(server, path, method) for method in METHODS}
        assert answered == {method: 200 if method in ("GET", "HEAD") else 405 for method in METHODS}, path


async def test_a_preflight_needs_no_credentials_and_what_follows_it_does(
    deployed: tuple[Serving, Deployment],
) -> None:
    """Spec: Fetch, CORS preflight; it is the last thing on the allow-list, and tells nothing."""
    server, _ = deployed
    asking = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    for path in ("/mcp", "/own/name", "/unknown"):
        preflight = await ask(server.port, get(path, asking, method="OPTIONS"))
        assert (preflight.status, preflight.body) == (204, b"")
        assert await _status(server, path, "POST", {"Origin": PAGE}) == 401
        assert await _status(server, path, "OPTIONS", {"Origin": PAGE}) == 401
    for other in ("https://evil.example", "https://app.example.com.evil.example", "null"):
        assert await _status(server, "/mcp", "OPTIONS", {**asking, "Origin": other}) == 403


@pytest.mark.parametrize("value", BAD, ids=range(len(BAD)))
async def test_bad_credentials_open_nothing(deployed: tuple[Serving, Deployment], value: str) -> None:
    server, _ = deployed
    for path in ("/mcp", "/metrics", "/own/name", "/unknown", "/boom"):
        for method in ("GET", "POST", "DELETE"):
            status = await _status(server, path, method, {"Authorization": value})
            assert status in (400, 401), (path, method)
    for path in OPEN:
        assert await _status(server, path, "GET", {"Authorization": value}) == 200, path


async def test_no_forged_token_gets_in(deployed: tuple[Serving, Deployment], monkeypatch: pytest.MonkeyPatch) -> None:
    server, _ = deployed
    tokens, good = _forged_now(monkeypatch)
    assert len(tokens) >= 80
    for token in good:
        assert text_of(await ask(server.port, call("echo", {"text": "x"}, token=token))) == "x"
    for name, token in tokens.items():
        if not token.isascii() or not token.isprintable():
            continue  # no header can carry it: tests/auth judges those
        if name.endswith("in 31 s"):
            continue  # a second later it is good: tests/auth judges it, by a clock that stands still
        reply = await ask(server.port, call("echo", {"text": "x"}, token=token))
        assert reply.status in (400, 401, 431), (name, reply.status)


async def test_tokens_for_other_places_are_refused_one_letter_away_too(deployed: tuple[Serving, Deployment]) -> None:
    server, deployment = deployed
    others: tuple[object, ...] = (
        None, "", "*", "https://mcp.example.com", "https://mcp.example.com/", "https://mcp.example.com/mcp/",
        "https://mcp.example.com/mcp2", "https://mcp.example.com/MCP", "https://MCP.example.com/mcp",
        "http://mcp.example.com/mcp", "https://mcp.example.com:443/mcp", "https://mcp.example.com/mcp?x",
        "https://mcp.example.com.evil.example/mcp", "https://evil.example/mcp", "mcp.example.com", "portside",
        f" {RESOURCE}", f"{RESOURCE} ", [], [f"{RESOURCE}x"], [[RESOURCE]], {"0": RESOURCE}, 1,
    )  # fmt: skip
    for audience in others:
        reply = await ask(server.port, call("echo", {"text": "x"}, token=deployment.token("ann", aud=audience)))
        assert reply.status == 401, audience
    for audience in (RESOURCE, [RESOURCE], ["https://other.example/mcp", RESOURCE]):
        reply = await ask(server.port, call("echo", {"text": "x"}, token=deployment.token("ann", aud=audience)))
        assert text_of(reply) == "x"


async def test_a_token_opens_what_is_there_and_no_more(deployed: tuple[Serving, Deployment]) -> None:
    server, deployment = deployed
    good = bearer(deployment.token("ann"))
    statuses = {path: (await ask(server.port, get(path, good))).status for path in ("/own/me", "/metrics", "/unknown")}
    assert statuses == {"/own/me": 200, "/metrics": 200, "/unknown": 404}
    assert (await ask(server.port, get("/boom", good))).status == 500  # the user's own code, and after the door


async def _status(server: Serving, path: str, method: str, headers: dict[str, str] | None = None) -> int:
    """Return the status of an answer; its head alone is read, since one to HEAD has no more."""
    async with timeout(10), connected(server.port) as connection:
        connection.send(get(path, {"Content-Length": "0", **(headers or {})}, method=method))
        return (await connection.head())[0]


def _forged_now(monkeypatch: pytest.MonkeyPatch) -> tuple[Mapping[str, str], Sequence[str]]:
    """Return the forged tokens as of now, so that it is not their age that refuses them; and good ones beside them."""
    monkeypatch.setattr(issuer_module, "NOW", int(time.time()))
    again = runpy.run_path(forged.__file__)
    shared: dict[str, object] = again["HS_GOOD"]
    return again["FORGED"], (forged.RSA.token(again["GOOD"]), forged.hs(forged.SECRET.reveal(), shared))
