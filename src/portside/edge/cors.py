"""Browser clients on allow-listed origins: preflights, and the headers their scripts may see (Fetch, CORS protocol)."""

from collections.abc import Awaitable, Callable
from typing import Final

from portside.edge.asgi import ASGIApp, Headers, Receive, Scope, Send

METHODS: Final = b"GET, POST, DELETE"
REQUEST_HEADERS: Final = (
    "accept",
    "authorization",
    "content-type",
    "idempotency-key",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
)
EXPOSED: Final = b"mcp-session-id, mcp-protocol-version, x-request-id, retry-after, www-authenticate"
MAX_AGE_S: Final = 600


class Cors:
    """Adds nothing for same-origin requests; foreign origins got this far only by being on the list."""

    def __init__(self, app: ASGIApp, *, is_listed: Callable[[bytes], bool]) -> None:
        self._app = app
        self._is_listed = is_listed

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        headers: dict[bytes, bytes] = scope["portside.headers"]
        origin = headers.get(b"origin")
        if origin is None or not self._is_listed(origin):
            return self._app(scope, receive, send)
        allowed: Headers = [(b"access-control-allow-origin", origin), (b"vary", b"origin")]
        if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            return self._preflight(headers, allowed, send)

        # On every answer: the page may read also how its request failed.
        scope["portside.fields"] += [*allowed, (b"access-control-expose-headers", EXPOSED)]
        return self._app(scope, receive, send)

    async def _preflight(self, headers: dict[bytes, bytes], allowed: Headers, send: Send) -> None:
        wanted = headers.get(b"access-control-request-headers", b"").decode("latin-1").lower().split(",")
        # A tool's own mirrored parameters have names nobody can list beforehand.
        mirrored = [name.strip() for name in wanted if name.strip().startswith("mcp-param-")]
        names = ", ".join([*REQUEST_HEADERS, *mirrored]).encode("latin-1")
        head = [
            *allowed,
            (b"access-control-allow-methods", METHODS),
            (b"access-control-allow-headers", names),
            (b"access-control-max-age", str(MAX_AGE_S).encode()),
            (b"content-length", b"0"),
        ]
        await send({"type": "http.response.start", "status": 204, "headers": head})
        await send({"type": "http.response.body", "body": b""})
