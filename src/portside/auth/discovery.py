"""Where an issuer keeps its keys: its metadata document (RFC 8414, OpenID Connect Discovery 1.0)."""

import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast
from urllib.parse import SplitResult, urlsplit

from portside.auth.fetch import Fetch
from portside.auth.refused import FetchFailed, KeysUnusable
from portside.wire import message
from portside.wire.refusal import Refusal

Locate = Callable[[Fetch], Awaitable[str]]
"""Says at which URL a key set is. Raises FetchFailed and KeysUnusable."""

_OAUTH: Final = "/.well-known/oauth-authorization-server"
_OPENID: Final = "/.well-known/openid-configuration"


def at(url: str) -> Locate:
    """Return a key set's place that settings name."""

    async def locate(fetch: Fetch) -> str:
        return url

    return locate


def of(issuer: str) -> Locate:
    """Return a key set's place that its issuer's metadata names, in the order the specification gives."""

    async def locate(fetch: Fetch) -> str:
        failures: list[str] = []
        for url in metadata_urls(issuer):
            try:
                body = await fetch(url)
            except FetchFailed as error:
                failures.append(error.message)
            else:
                return key_set_url(issuer, body)
        raise FetchFailed(f"no metadata of the issuer {issuer!r}: {'; '.join(failures)}")

    return locate


def metadata_urls(issuer: str) -> tuple[str, ...]:
    """Return where an issuer's metadata may be (MCP 2026-07-28, Authorization Server Metadata Discovery)."""
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    if not path:
        return f"{origin}{_OAUTH}", f"{origin}{_OPENID}"
    return f"{origin}{_OAUTH}{path}", f"{origin}{_OPENID}{path}", f"{origin}{path}{_OPENID}"


def key_set_url(issuer: str, body: bytes) -> str:
    """Return the `jwks_uri` of a metadata document. Raises KeysUnusable where the document is not this issuer's.

    Elsewhere than at the issuer's own origin it must be a name and encrypted: an address could be one inside our
    network, which the issuer cannot reach and we could.
    """
    try:
        value = message.decode(body)
    except Refusal as refused:
        raise KeysUnusable(f"the metadata of {issuer!r} is not JSON: {refused.message}") from None
    members = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    # Identical, character by character (RFC 8414 §3.3): else any issuer could speak for any other.
    if members.get("issuer") != issuer:
        raise KeysUnusable(f"the metadata found for {issuer!r} is that of another issuer")
    url: object = members.get("jwks_uri")
    if not isinstance(url, str) or not _may_follow(urlsplit(issuer), url):
        raise KeysUnusable(f'the metadata of {issuer!r} names no usable "jwks_uri"; expected an https URL')
    return url


def _may_follow(issuer: SplitResult, url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, is_known_port = parts.hostname or "", parts.port != 0
    except ValueError:
        return False
    if (parts.scheme, parts.netloc) == (issuer.scheme, issuer.netloc):
        return True
    return parts.scheme == "https" and is_known_port and "@" not in parts.netloc and _is_public_name(host)


def _is_public_name(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        # All digits and dots, hexadecimal or short forms: resolvers read addresses into them (inet_aton).
        last = host.rstrip(".").rpartition(".")[2]
        return "." in host.rstrip(".") and not last[:1].isdigit() and not last.endswith(("local", "localhost"))
    return False
