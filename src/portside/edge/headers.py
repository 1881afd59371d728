"""Cheap refusals by the head of a request alone: too long, too many, ambiguous, encoded."""

from collections import Counter
from collections.abc import Awaitable
from typing import Final

from portside.edge.asgi import ASGIApp, Receive, Scope, Send, refuse

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


class HeadLimits:
    """Refuses with 414, 431, 400 or 415. How long a head may be, the protocol class sees to while it comes in."""

    def __init__(self, app: ASGIApp, *, max_headers: int, max_url_bytes: int) -> None:
        self._app = app
        self._max_headers = max_headers
        self._max_url_bytes = max_url_bytes

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        refusal = self._judge(scope)
        if refusal is not None:
            return refuse(scope, send, *refusal)
        return self._app(scope, receive, send)

    def _judge(self, scope: Scope) -> tuple[int, str] | None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        names: dict[bytes, bytes] = scope["portside.headers"]
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > self._max_url_bytes:
            return 414, f"the URL is longer than {self._max_url_bytes} bytes"
        if len(headers) > self._max_headers:
            return 431, f"more than {self._max_headers} headers"
        if len(names) != len(headers):
            twice = [name for name, count in Counter(name for name, _ in headers).items() if count > 1]
            for name in twice:
                if name in SINGLE:
                    return 400, f"the {name.decode('latin-1')} header appears more than once"
        encoding = names.get(b"content-encoding")
        if encoding is not None and encoding.strip().lower() not in (b"", b"identity"):
            return 415, "encoded bodies are not accepted: send the body as it is"
        return None
