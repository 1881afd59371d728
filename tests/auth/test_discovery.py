"""Where keys are looked for, and what is fetched from there (RFC 8414, MCP): nothing inside our own network."""

import json
from collections.abc import AsyncGenerator

import pytest

from portside.auth import discovery
from portside.auth.fetch import Fetcher
from portside.auth.refused import FetchFailed, KeysUnusable
from tests.issuer import Issuer, key, running

pytestmark = pytest.mark.anyio

OLD, NEW = key("old"), key("new", "ES256")


@pytest.fixture
async def issuer() -> AsyncGenerator[Issuer]:
    async with running() as started:
        started.publish(OLD)
        yield started


def test_metadata_is_looked_for_where_the_specification_says() -> None:
    assert discovery.metadata_urls("https://a.example") == (
        "https://a.example/.well-known/oauth-authorization-server",
        "https://a.example/.well-known/openid-configuration",
    )
    assert discovery.metadata_urls("https://a.example/t1/") == (
        "https://a.example/.well-known/oauth-authorization-server/t1",
        "https://a.example/.well-known/openid-configuration/t1",
        "https://a.example/t1/.well-known/openid-configuration",
    )


@pytest.mark.parametrize(
    ("issuer", "url", "is_followed"),
    [
        ("https://a.example", "https://a.example/keys", True),
        ("https://a.example", "https://www.apis.example/keys", True),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000/keys", True),
        ("https://a.example", "http://a.example/keys", False),
        ("https://a.example", "http://169.254.169.254/latest/meta-data", False),
        ("https://a.example", "https://169.254.169.254/keys", False),
        ("https://a.example", "https://[::1]/keys", False),
        ("https://a.example", "https://[fd00::1]/keys", False),
        ("https://a.example", "https://2852039166/keys", False),
        ("https://a.example", "https://0xa9.254.169.254/keys", False),
        ("https://a.example", "https://169.254.43518/keys", False),
        ("https://a.example", "https://localhost/keys", False),
        ("https://a.example", "https://localhost./keys", False),
        ("https://a.example", "https://a.localhost/keys", False),
        ("https://a.example", "https://redis/keys", False),
        ("https://a.example", "https://printer.local/keys", False),
        ("https://a.example", "https://ann@b.example/keys", False),
        ("https://a.example", "file:///etc/passwd", False),
        ("https://a.example", "gopher://b.example/", False),
        ("https://a.example", "https://b.example:99999/", False),
        ("https://a.example", "//b.example/keys", False),
        ("https://a.example", "", False),
        ("https://a.example", None, False),
        ("https://a.example", ["https://a.example/keys"], False),
    ],
)
def test_where_keys_are_may_be_told_by_the_issuer_but_not_inside_our_network(
    issuer: str, url: object, is_followed: bool
) -> None:
    body = json.dumps({"issuer": issuer, "jwks_uri": url}).encode()
    if is_followed:
        assert discovery.key_set_url(issuer, body) == url
        return
    with pytest.raises(KeysUnusable):
        discovery.key_set_url(issuer, body)


@pytest.mark.parametrize("named", ["https://a.example/", "https://A.example", "https://b.example", None, 1])
def test_metadata_of_another_issuer_is_not_used(named: object) -> None:
    body = json.dumps({"issuer": named, "jwks_uri": "https://a.example/keys"}).encode()
    with pytest.raises(KeysUnusable, match="another issuer"):
        discovery.key_set_url("https://a.example", body)


async def test_a_redirect_is_followed_within_an_origin_only(issuer: Issuer) -> None:
    issuer.redirects["/moved"] = "/keys"
    assert await Fetcher().get(f"{issuer.url}/moved") == issuer.documents["/keys"][1]
    async with running() as other:
        other.publish(NEW)
        for place in (f"{other.url}/keys", other.url.replace("127.0.0.1", "localhost") + "/keys", "file:///etc/passwd"):
            issuer.redirects["/away"] = place
            with pytest.raises(FetchFailed):
                await Fetcher().get(f"{issuer.url}/away")
        assert not other.asked
    issuer.redirects["/circle"] = "/circle"
    with pytest.raises(FetchFailed, match="more than 3 times"):
        await Fetcher().get(f"{issuer.url}/circle")


async def test_a_document_that_is_too_large_or_not_there_is_not_used(issuer: Issuer) -> None:
    issuer.documents["/large"] = (200, b" " * (256 * 1024 + 1))
    for path in ("/large", "/nothing"):
        with pytest.raises(FetchFailed):
            await Fetcher().get(issuer.url + path)


async def test_plain_http_is_for_the_loopback() -> None:
    for url in ("http://issuer.example/keys", "http://169.254.169.254/", "ftp://issuer.example/", "http://10.0.0.1/"):
        with pytest.raises(FetchFailed, match=r"not encrypted|no scheme"):
            await Fetcher().get(url)
        with pytest.raises(FetchFailed, match=r"not encrypted|no scheme"):
            await Fetcher().post(url, b"token=x", ())


async def test_an_issuer_that_is_silent_is_given_up(issuer: Issuer) -> None:
    issuer.silent.add("/keys")
    with pytest.raises(FetchFailed, match=r"within 0\.05 s"):
        await Fetcher(deadline_s=0.05).get(f"{issuer.url}/keys")
