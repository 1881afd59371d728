"""Who really asks, and over what: forwarded headers, believed from trusted proxies only (RFC 7239 §8.1)."""

import ipaddress
from collections.abc import Awaitable, Sequence
from typing import Final

from portside.edge.asgi import ASGIApp, Receive, Scope, Send
from portside.edge.entry import accepted_id

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NAMES: Final = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-real-ip",
        b"x-request-id",
    }
)

ADDRESS_LIMIT: Final = 45
"""Characters of the longest address there is, without a zone."""


class Forwarded:
    """Takes client address, scheme and host from a trusted proxy's headers; removes those headers in any case.

    Hosted code must not find a header there that anybody could have sent. Several hops are walked from the right, as
    long as each is trusted.
    """

    def __init__(self, app: ASGIApp, *, trusted: Sequence[str]) -> None:
        self._app = app
        self._trusted = tuple(ipaddress.ip_network(one, strict=False) for one in trusted)
        self._known: dict[str, bool] = {}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if not NAMES.isdisjoint(scope["portside.headers"]):
            found = [(name, value) for name, value in scope["headers"] if name in NAMES]
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] not in NAMES]
            client = scope.get("client")
            if client is not None and self.is_trusted(client[0]):
                self._believe(scope, found)
            scope["portside.headers"] = dict(scope["headers"])
        return self._app(scope, receive, send)

    def is_trusted(self, address: str) -> bool:
        """Say whether a peer's address belongs to a trusted proxy."""
        known = self._known.get(address)
        if known is None:
            parsed = _address(address)
            known = parsed is not None and any(parsed in network for network in self._trusted)
            # Where everybody is trusted, an "address" may be of any length.
            if len(self._known) < 10_000 and len(address) <= ADDRESS_LIMIT:
                self._known[address] = known
        return known

    def _believe(self, scope: Scope, found: list[tuple[bytes, bytes]]) -> None:
        # Most proxies write X-Forwarded-For and let a client's own Forwarded through: only the former is theirs.
        is_chained = any(name == b"x-forwarded-for" for name, _ in found)
        elements = (not is_chained and _forwarded(found)) or _x_forwarded(found)
        index = len(elements) - 1
        while index > 0 and self.is_trusted(elements[index].get("for", "")):
            index -= 1
        # What stands further left was written by somebody who is not trusted.
        _apply(scope, elements[index:])
        for name, value in found:
            given = accepted_id(value) if name == b"x-request-id" else None
            if given is not None:
                scope["portside.record"].request_id = given


def _apply(scope: Scope, elements: list[dict[str, str]]) -> None:
    address = _address(elements[0].get("for", ""))
    if address is not None:
        # The address itself, not a spelling of it: limits and logs go by it.
        scope["client"] = (str(address), 0)
        scope["portside.record"].client = str(address)
    # The hop that first spoke to the outside knows its scheme and host; later ones only repeat it.
    scheme = next((one["proto"].lower() for one in elements if "proto" in one), None)
    if scheme in ("http", "https"):
        scope["scheme"] = scheme
    host = next((one["host"] for one in elements if "host" in one), None)
    if host is not None:
        kept = [pair for pair in scope["headers"] if pair[0] != b"host"]
        scope["headers"] = [(b"host", host.encode("latin-1")), *kept]


def _forwarded(found: list[tuple[bytes, bytes]]) -> list[dict[str, str]]:
    """Return the elements of all `Forwarded` headers, leftmost hop first; a malformed pair is left out."""
    text = ",".join(value.decode("latin-1") for name, value in found if name == b"forwarded")
    elements: list[dict[str, str]] = []
    for part in text.split(",") if text else ():
        element: dict[str, str] = {}
        for pair in part.split(";"):
            key, equals, value = pair.strip().partition("=")
            if equals:
                element[key.strip().lower()] = value.strip().strip('"')
        if "for" in element:
            element["for"] = _without_port(element["for"])
        elements.append(element)
    return elements


def _x_forwarded(found: list[tuple[bytes, bytes]]) -> list[dict[str, str]]:
    """Return the same from `X-Forwarded-*`; what proto and host list is matched with the hops from the right."""
    chain = _listed(found, b"x-forwarded-for") or _listed(found, b"x-real-ip") or [""]
    elements: list[dict[str, str]] = [{"for": _without_port(hop)} if hop else {} for hop in chain]
    for header, key in ((b"x-forwarded-proto", "proto"), (b"x-forwarded-host", "host")):
        for element, value in zip(reversed(elements), reversed(_listed(found, header)), strict=False):
            if value:
                element[key] = value
    return elements


def _listed(found: list[tuple[bytes, bytes]], header: bytes) -> list[str]:
    """Return the values of a header's lines, which together are one list (RFC 9110 §5.3)."""
    return [part.strip() for name, value in found if name == header for part in value.decode("latin-1").split(",")]


def _without_port(node: str) -> str:
    if node.startswith("["):
        return node[1:].partition("]")[0]
    return node.partition(":")[0] if node.count(":") == 1 else node


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed
