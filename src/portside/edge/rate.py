"""How often one caller may ask: per principal, or per address where nobody says who they are."""

import ipaddress
from collections.abc import Awaitable, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from portside.clock import Clock
from portside.edge.asgi import ASGIApp, Receive, Scope, Send
from portside.observe.record import Record
from portside.state.base import Counters, Limit, Verdict
from portside.wire.excess import seconds_of, too_many

EXEMPT: Final = frozenset({"/health", "/ready", "/metrics"})
POLICY: Final = "caller"
MOST_BLOCKED: Final = 10_000
_V6_PREFIX: Final = 64


class RateLimit:
    """Counts every request of a caller, and answers 429 past the limit, with when it makes sense to ask again.

    Says on every answer how much is left (draft-ietf-httpapi-ratelimit-headers-11). Where shared counters cannot be
    reached, `StateUnavailable` passes: whoever gives the counters decides what that means.
    """

    def __init__(self, app: ASGIApp, counters: Counters, *, most: int, window_ms: int) -> None:
        self._app = app
        self._counters = counters
        self._most = most
        self._window_ms = window_ms
        self._policy = f'"{POLICY}";q={most};w={seconds_of(window_ms)}'.encode()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["path"] in EXEMPT:
            return self._app(scope, receive, send)
        return self._limited(scope, receive, send)

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = _limit(caller_key(scope), self._most, self._window_ms)
        # For whoever finds that one request holds several.
        scope["portside.limit"] = limit
        verdict = await self._counters.hit((limit,))
        scope["portside.fields"] += ((b"ratelimit-policy", self._policy), (b"ratelimit", state_of(verdict)))
        if verdict.is_allowed:
            await self._app(scope, receive, send)
        else:
            await refuse_rate(scope, send, verdict)


class Failures:
    """How often an address was refused for want of a good credential; past the limit nobody looks at what it shows.

    Checking forged tokens costs more than counting them. Whoever is known already is not asked about here, so that a
    guest behind a shared address cannot shut the others out.
    """

    def __init__(self, counters: Counters, clock: Clock, *, most: int, window_ms: int) -> None:
        self._counters = counters
        self._clock = clock
        self._most = most
        self._window_ms = window_ms
        self._blocked: dict[str, tuple[float, Verdict]] = {}

    def blocked(self, scope: Scope) -> Verdict | None:
        """Return the verdict on an address that has failed too often lately, None for any other."""
        key = address_key(scope)
        found = self._blocked.get(key)
        if found is None:
            return None
        left_ms = round((found[0] - self._clock.monotonic()) * 1000)
        if left_ms <= 0:
            del self._blocked[key]
            return None
        return msgspec.structs.replace(found[1], reset_ms=left_ms, retry_after_ms=left_ms)

    async def count(self, scope: Scope) -> Verdict | None:
        """Count one failure; return the verdict where it was one too many."""
        key = address_key(scope)
        verdict = await self._counters.hit((Limit(f"401 {key}", self._most, self._window_ms, "unauthenticated"),))
        if verdict.is_allowed:
            return None
        if len(self._blocked) >= MOST_BLOCKED:
            self._blocked.clear()  # they are counted all the same
        self._blocked[key] = (self._clock.monotonic() + verdict.retry_after_ms / 1000, verdict)
        return verdict


@lru_cache(maxsize=4096)
def _limit(key: str, most: int, window_ms: int) -> Limit:
    return Limit(key, most, window_ms, POLICY)


def caller_key(scope: Scope) -> str:
    """Return whose use this is: the principal's, or the address's where nobody says who they are."""
    principal: str | None = scope.get("portside.principal")
    return principal if principal is not None else address_key(scope)


def address_key(scope: Scope) -> str:
    """Return the key of an address; of IPv6 the network that one customer has."""
    client = scope.get("client")
    return _network(client[0]) if client else "unknown address"


@lru_cache(maxsize=4096)
def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown address"
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped is not None else str(ipaddress.ip_network((parsed, _V6_PREFIX), strict=False))
    return str(parsed)


def state_of(verdict: Verdict) -> bytes:
    """Return the `RateLimit` field: what is left, and in how many seconds there is more."""
    return f'"{verdict.limit.name}";r={verdict.remaining};t={seconds_of(verdict.reset_ms)}'.encode()


def told_of(verdict: Verdict) -> list[tuple[bytes, bytes]]:
    """Return the fields that tell a limit and what is left of it, where they are not made once for all."""
    limit = verdict.limit
    policy = f'"{limit.name}";q={limit.most};w={seconds_of(limit.window_ms)}'
    return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", state_of(verdict))]


async def refuse_rate(scope: Scope, send: Send, verdict: Verdict, told: Sequence[tuple[bytes, bytes]] = ()) -> None:
    """Answer 429 with a JSON-RPC error that a client can show."""
    limit = verdict.limit
    refused = too_many("requests", most=limit.most, window_ms=limit.window_ms, retry_after_ms=verdict.retry_after_ms)
    record: Record = scope["portside.record"]
    record.outcome, record.error, record.error_code = "refused", refused.message, refused.code
    error = {"code": refused.code, "message": refused.message, "data": refused.data}
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": refused.id, "error": error})
    head = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *((name.encode(), value.encode()) for name, value in refused.headers.items()),
        *told,
    ]
    await send({"type": "http.response.start", "status": refused.status, "headers": head})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
