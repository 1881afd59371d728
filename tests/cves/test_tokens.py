"""Tokens: what is signed by nobody, for somebody else, or looked up where a stranger says."""

import pytest

from portside.auth import discovery
from portside.auth.fetch import Fetcher
from portside.auth.refused import FetchFailed, KeysUnusable
from tests.auth.forged import CLAIMS, FORMS, HEADERS, PAYLOADS, SIGNATURES
from tests.auth.made import guarded
from tests.cves.stage import AUDIENCE, ask, signed, token
from tests.edge.asked import HOST, Inner, request
from tests.edge.asked import ask as ask_app
from tests.hostile.stage import printed
from tests.issuer import running
from tests.journeys.raw import get
from tests.processes import Serving

pytestmark = pytest.mark.anyio


async def status_of(text: str) -> int:
    """Return the edge's answer to a token."""
    return (await ask_app(guarded(Inner()), request((HOST, (b"authorization", b"Bearer " + text.encode()))))).status


async def test_a_token_that_says_it_needs_no_signature_is_refused() -> None:
    """Algorithm `none` (CWE-347; CVE-2015-9235)."""
    assert await status_of(SIGNATURES["algorithm none and no signature"]) == 401


@pytest.mark.parametrize("form", ["PEM", "DER"])
async def test_a_public_key_is_no_shared_secret(form: str) -> None:
    """An asymmetric key taken for an HMAC secret (CWE-347; CVE-2022-29217, CVE-2024-33663)."""
    assert await status_of(SIGNATURES[f"HS256 with the public key in {form}"]) == 401


async def test_a_key_in_the_token_itself_is_not_believed() -> None:
    """The key of a signature in its own header (CWE-347; CVE-2018-0114)."""
    assert await status_of(SIGNATURES["RS256 by a key in its own header"]) == 401


async def test_a_signature_of_zeros_is_refused() -> None:
    """ECDSA with r = s = 0 (CWE-347; CVE-2022-21449)."""
    assert await status_of(SIGNATURES["ECDSA of zeros"]) == 401


@pytest.mark.parametrize("name", ["jku", "x5u"])
async def test_a_token_does_not_say_where_its_key_is(name: str) -> None:
    """Keys fetched from where a token's header says (CWE-918)."""
    assert await status_of(HEADERS[name]) == 401


@pytest.mark.parametrize("name", ["path", "SQL", "URL", "command"])
async def test_the_id_of_a_key_is_a_name_and_nothing_else(name: str) -> None:
    """Injection by a token's key id (CWE-22, CWE-89, CWE-78)."""
    assert await status_of(HEADERS[f"key id {name}"]) == 401


@pytest.mark.parametrize("name", ["zip", "enc"])
async def test_a_token_is_not_unpacked(name: str) -> None:
    """Compressed and encrypted tokens that grow without bound (CWE-409; CVE-2024-33664)."""
    assert await status_of(HEADERS[name]) == 401


async def test_a_long_token_is_not_read() -> None:
    """Tokens without bound (CWE-770)."""
    assert await status_of(FORMS["longer than 16 KiB"]) == 401


async def test_a_claim_that_comes_twice_is_refused() -> None:
    """Duplicate claims, of which one reader takes the first and another the last (CWE-436)."""
    assert await status_of(PAYLOADS["exp twice, first expired"]) == 401


async def test_an_extension_nobody_knows_is_not_passed_over() -> None:
    """Critical extensions that are ignored (CWE-345)."""
    assert await status_of(HEADERS["crit unknown"]) == 401


async def test_an_issuer_is_compared_as_a_whole() -> None:
    """An issuer that is part of a trusted one, or the other way round (CWE-697; CVE-2024-53861)."""
    assert await status_of(CLAIMS["issuer 'https://issuer.example.evil.example'"]) == 401


@pytest.mark.parametrize("audience", [None, "https://other.example.com/mcp", AUDIENCE + "/", AUDIENCE[:-1], ""])
async def test_a_token_for_somebody_else_is_refused(server: Serving, audience: str | None) -> None:
    """Tokens passed on to another service, or meant for nobody in particular (CWE-345)."""
    assert (await ask(server, signed(get("/seen"), token(aud=audience)))).status == 401


@pytest.mark.parametrize("expires", [None, 1, float(2**70)])
async def test_a_token_that_never_ends_or_has_ended_is_refused(server: Serving, expires: float | None) -> None:
    """Tokens good for ever (CWE-613)."""
    assert (await ask(server, signed(get("/seen"), token(exp=expires)))).status == 401


async def test_a_token_in_the_url_is_refused(server: Serving) -> None:
    """Tokens in URLs, which logs and histories keep (CWE-598)."""
    secret = token()
    reply = await ask(server, get(f"/seen?access_token={secret}"))
    assert reply.status == 400
    assert secret not in printed(server)


@pytest.mark.parametrize(
    "path", ["/mcp", "/mcp/", "/seen", "/files/a", "/metrics", "/Health", "/health/", "//health", "/health%00", "/x"]
)
async def test_without_a_token_nothing_is_reached(server: Serving, path: str) -> None:
    """A route that was forgotten when all others were guarded (CWE-306; CVE-2025-49596)."""
    reply = await ask(server, get(path))
    assert reply.status in (400, 401)
    assert reply.status == 400 or reply.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "url",
    ["http://keys.example/k", "https://169.254.169.254/k", "https://[::1]/k", "https://2130706433/k", "https://0x7f.1/k",
     "https://localhost/k", "https://db/k", "https://user@keys.example/k", "file:///etc/passwd", "ftp://keys.example/k"],
)  # fmt: skip
def test_an_issuers_document_cannot_send_us_into_our_own_network(url: str) -> None:
    """Requests to internal addresses by the metadata of an issuer (CWE-918)."""
    document = b'{"issuer":"https://issuer.example","jwks_uri":"' + url.encode() + b'"}'
    with pytest.raises(KeysUnusable):
        discovery.key_set_url("https://issuer.example", document)


async def test_a_redirect_to_another_origin_is_not_followed() -> None:
    """Requests to internal addresses by a redirect (CWE-918, CWE-601)."""
    async with running() as issuer, running() as other:
        issuer.redirects["/keys"] = f"{other.url}/keys"
        with pytest.raises(FetchFailed):
            await Fetcher().get(f"{issuer.url}/keys")
        assert not other.asked


async def test_one_issuers_document_cannot_speak_for_another() -> None:
    """Mix-up of issuers (CWE-345)."""
    with pytest.raises(KeysUnusable):
        discovery.key_set_url(
            "https://issuer.example", b'{"issuer":"https://evil.example","jwks_uri":"https://a.example/k"}'
        )
