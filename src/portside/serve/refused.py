"""Refusals from before there is a request: which heads are none of ours, and what is answered without ASGI."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from portside.edge.entry import SECURITY_HEADERS, STRICT_TRANSPORT

Headers = Sequence[tuple[bytes, bytes]]

_REASONS: Final = {
    400: (b"Bad Request", "this is not HTTP/1.1, or can be read in two ways"),
    408: (b"Request Timeout", "the head of the request was not complete in time"),
    414: (b"URI Too Long", "the URL is too long"),
    431: (b"Request Header Fields Too Large", "the head of the request is too long"),
    501: (b"Not Implemented", "no other protocol is spoken here: leave out Upgrade"),
    503: (b"Service Unavailable", "too many connections, or too many requests on this one"),
}
_ALWAYS: Final = (
    *SECURITY_HEADERS,
    (b"cache-control", b"no-store"),
    (b"content-type", b"application/json"),
    (b"connection", b"close"),
)


def answer(status: int, *, is_secure: bool, also: Headers = ()) -> bytes:
    """Return a whole response with the headers every response has, and `also`; the connection is to be closed after."""
    phrase, message = _REASONS[status]
    body = msgspec.json.encode({"error": {"status": status, "message": message}})
    headers = [*_ALWAYS, *also, (b"content-length", str(len(body)).encode())]
    if is_secure:
        headers.append(STRICT_TRANSPORT)
    if status == 503:
        headers.append((b"retry-after", b"1"))
    lines = (b"%s: %s\r\n" % pair for pair in headers)
    return b"HTTP/1.1 %d %s\r\n%s\r\n%s" % (status, phrase, b"".join(lines), body)


def status_of(url: bytes, headers: Iterable[tuple[bytes, bytes]], *, upgrades: bool) -> int | None:
    """Return what a head must be refused with that the parser lets through, None where there is nothing to refuse.

    A target that is a whole URL must name the host that `Host` names, since others would go by the one or the other
    (RFC 9112 §3.2.2). An upgrade with a body is refused: the parser does not read that body, so it would be taken for
    a request.
    """
    if not url.startswith(b"/") and not _agrees(url, headers):
        return 400
    if b"#" in url:
        return 400
    if upgrades and any(name == b"transfer-encoding" or _is_length(name, value) for name, value in headers):
        return 501
    return None


def _agrees(url: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    scheme, _, rest = url.partition(b"://")
    hosts = [value.lower() for name, value in headers if name == b"host"]
    authority = rest.partition(b"/")[0].partition(b"?")[0].lower()
    return scheme.lower() in (b"http", b"https") and hosts == [authority]


def _is_length(name: bytes, value: bytes) -> bool:
    return name == b"content-length" and value.strip(b"0") != b""
