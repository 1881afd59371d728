"""The protected resource metadata document and where it is found (RFC 9728, MCP 2026-07-28 Authorization)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from portside.auth.challenge import NEVER_ASKED
from portside.errors import Problem, SettingsInvalid

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"

_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Metadata:
    """What clients are told: this resource's canonical URL, who issues tokens for it, and the scopes to start with.

    `authorization_servers` are issuers, exactly as their own metadata names them; MCP demands at least one.
    """

    resource: str
    authorization_servers: Sequence[str]
    scopes_supported: Iterable[str] = ()
    name: str | None = None

    @property
    def url(self) -> str:
        """Where clients find the document: the well-known path goes between host and path (RFC 9728 §3.1)."""
        parts = urlsplit(self.resource)
        return f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{parts.path.rstrip('/')}"

    @property
    def paths(self) -> frozenset[str]:
        """The paths to answer at: path-inserted, and the root that clients fall back to.

        Both also without the prefix under which a proxy publishes this server, as it may take that off.
        """
        path = urlsplit(self.resource).path.rstrip("/")
        return frozenset({WELL_KNOWN, WELL_KNOWN + path, f"{WELL_KNOWN}/{path.rpartition('/')[2]}".rstrip("/")})

    def document(self) -> bytes:
        """Return the document as JSON."""
        body: dict[str, Any] = {
            "resource": self.resource,
            "authorization_servers": list(self.authorization_servers),
            "bearer_methods_supported": ["header"],
        }
        scopes = sorted(set(self.scopes_supported) - NEVER_ASKED)
        if scopes:
            body["scopes_supported"] = scopes
        if self.name is not None:
            body["resource_name"] = self.name
        return msgspec.json.encode(body)


def resource_url(public_url: str, endpoint: str = "/mcp") -> str:
    """Return the canonical URL of the endpoint: scheme and host in lower case, no default port, no slash at the end.

    This is the one place where a URL is normalised; what tokens say is compared with the result as it is. Raises
    SettingsInvalid for a URL that is none, has a query, a fragment or a user, or dots that would be resolved away.
    """
    try:
        parts = urlsplit(public_url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    is_plain = not (parts.query or parts.fragment or "@" in parts.netloc) and not public_url.endswith(("?", "#"))
    path = parts.path.rstrip("/") + endpoint
    if parts.scheme not in _PORTS or not host or not is_plain or not _is_settled(path) or not public_url.isascii():
        text = f"{public_url!r}: expected a URL such as https://mcp.example.com, without query, fragment and user"
        raise SettingsInvalid((Problem("PORTSIDE_PUBLIC_URL", text),))
    name = f"[{host}]" if ":" in host else host
    authority = name if port in (None, _PORTS[parts.scheme]) else f"{name}:{port}"
    return f"{parts.scheme}://{authority}{path}"


def _is_settled(path: str) -> bool:
    """Whether no client would rewrite the path before it uses it."""
    return not any(part in ("", ".", "..") for part in path.split("/")[1:]) and path.isprintable() and " " not in path
