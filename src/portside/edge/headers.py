"""Cheap refusals by the head of a request alone: too long, too many, ambiguous, encoded."""

from collections import Counter
from collections.abc import Awaitable
from typing import Final

from portside.edge.asgi import ASGIApp, Headers, Receive, Scope, Send, refuse
from portside.edge.body import CLOSE, closing
from portside.edge.forwarded import NAMES

SINGLE: Final = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"idempotency-key",
        b"last-event-id",
        b"mcp-method",
        b"mcp-name",
        b"mcp-protocol-version",
        b"mcp-session-id",
        b"transfer-encoding",
    }
)
"""Headers that decide something: sent twice, one reader would see the first and another the last."""

_DECIDING: Final = SINGLE | NAMES | {b"host", b"origin", b"connection", b"accept"}
_MIRRORED: Final = b"mcp-param-"


class HeadLimits:
    """Refuses with 414, 431, 400, 415 or 501. How long a head may be, the protocol class sees to while it comes in.

    What two readers could read in two ways ends the connection, and so does whatever leaves a body unread.
    """

    def __init__(self, app: ASGIApp, *, max_headers: int, max_url_bytes: int) -> None:
        self._app = app
        self._max_headers = max_headers
        self._max_url_bytes = max_url_bytes

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        refusal = self._judge(scope)
        if refusal is not None:
            return refuse(scope, send, *refusal)
        return self._app(scope, receive, send)

    def _judge(self, scope: Scope) -> tuple[int, str, Headers] | None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        names: dict[bytes, bytes] = scope["portside.headers"]
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > self._max_url_bytes:
            return 414, f"the URL is longer than {self._max_url_bytes} bytes", closing(scope)
        if len(headers) > self._max_headers:
            return 431, f"more than {self._max_headers} headers", closing(scope)
        if len(names) != len(headers):
            twice = [name for name, count in Counter(name for name, _ in headers).items() if count > 1]
            for name in twice:
                if name in SINGLE:
                    return 400, f"the {name.decode('latin-1')} header appears more than once", CLOSE
        if b"_" in b"".join(names):
            for name in names:
                if _passes_for_another(name):
                    return 400, f"the {name.decode('latin-1')} header is spelled with _", CLOSE
        return _judge_framing(scope["http_version"], names.get(b"transfer-encoding")) or _judge_encoding(scope, names)


def _passes_for_another(name: bytes) -> bool:
    """Say whether some readers take a name for that of a header that decides something (CGI: RFC 3875 §4.1.18)."""
    plain = name.replace(b"_", b"-")
    return plain != name and (plain in _DECIDING or (plain.startswith(_MIRRORED) and not name.startswith(_MIRRORED)))


def _judge_framing(version: str, coding: bytes | None) -> tuple[int, str, Headers] | None:
    if version not in ("1.1", "1.0"):
        return 400, f"HTTP/{version} is not spoken here: expected 1.1 or 1.0", CLOSE
    if coding is None:
        return None
    if version == "1.0":
        return 400, "HTTP/1.0 knows no Transfer-Encoding (RFC 9112 §6.1)", CLOSE
    if coding.strip().lower() != b"chunked":
        return 501, f"Transfer-Encoding {coding[:50].decode('latin-1')!r}: expected chunked", CLOSE
    return None


def _judge_encoding(scope: Scope, names: dict[bytes, bytes]) -> tuple[int, str, Headers] | None:
    encoding = names.get(b"content-encoding")
    if encoding is None or encoding.strip().lower() in (b"", b"identity"):
        return None
    return 415, "encoded bodies are not accepted: send the body as it is", closing(scope)
