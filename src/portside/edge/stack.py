"""The edge, in order, each layer with the reason for its place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from portside.auth.authenticators import Authenticator
from portside.auth.challenge import Challenges
from portside.auth.metadata import Metadata
from portside.clock import Clock, SystemClock
from portside.edge.asgi import ASGIApp
from portside.edge.authenticate import Authenticate
from portside.edge.body import Body
from portside.edge.cors import Cors
from portside.edge.entry import Entry
from portside.edge.forwarded import Forwarded
from portside.edge.headers import HeadLimits
from portside.edge.limit import Admission
from portside.edge.origin import Origin
from portside.edge.rate import Failures, RateLimit
from portside.observe.record import Record
from portside.state.base import Counters


@dataclass(frozen=True, slots=True)
class EdgeOptions:
    """The edge's own settings, as plain values; the settings reference says what each is for."""

    bind_host: str = "127.0.0.1"
    public_url: str | None = None
    trusted_proxies: Sequence[str] = ()
    allowed_hosts: Sequence[str] = ()
    allowed_origins: Sequence[str] = ()
    max_body_bytes: int = 4 * 1024 * 1024
    max_headers: int = 100
    max_url_bytes: int = 8 * 1024
    body_timeout_s: float = 30.0
    max_in_flight: int = 1000


@dataclass(frozen=True, slots=True)
class Callers:
    """How callers are told apart, and how often one may ask. No `challenges`: nobody authenticates; `most` 0: no limit.

    `most` requests within any `window_ms`, of a principal, or of an address where nobody says who they are.
    """

    ways: Sequence[Authenticator] = ()
    challenges: Challenges | None = None
    metadata: Metadata | None = None
    opens_metrics: bool = False
    counters: Counters | None = None
    most: int = 0
    window_ms: int = 60_000
    clock: Clock = field(default_factory=SystemClock)


def build(
    app: ASGIApp, options: EdgeOptions, emit: Callable[[Record], None], callers: Callers | None = None
) -> ASGIApp:
    """Return `app` behind the whole edge. Read from the bottom: the last line meets a request first."""
    # The body last: nothing is read for a request that is refused anyway.
    app = Body(app, max_bytes=options.max_body_bytes, timeout_s=options.body_timeout_s)
    # Admission before the body, so that slow senders count; after the refusals, which cost nothing.
    app = Admission(app, max_in_flight=options.max_in_flight)
    if callers is not None:
        # Callers before admission: nobody takes a place who may not call.
        app = _told_apart(app, callers)
    listed = {origin.lower().rstrip("/").encode() for origin in options.allowed_origins}
    # CORS after Origin: only pages that may call at all get answers to their preflights.
    app = Cors(app, is_listed=lambda origin: b"*" in listed or origin.lower() in listed)
    app = HeadLimits(app, max_headers=options.max_headers, max_url_bytes=options.max_url_bytes)
    # Origin after Forwarded: behind a proxy, the name the client used is the forwarded one.
    app = Origin(
        app,
        bind_host=options.bind_host,
        public_url=options.public_url,
        allowed_hosts=options.allowed_hosts,
        allowed_origins=options.allowed_origins,
    )
    app = Forwarded(app, trusted=options.trusted_proxies)
    # The record outermost: also what every other layer refuses is counted and logged.
    return Entry(app, emit=emit)


def _told_apart(app: ASGIApp, callers: Callers) -> ASGIApp:
    counters, most, window_ms = callers.counters, callers.most, callers.window_ms
    is_limited = counters is not None and most > 0
    if counters is not None and is_limited:
        # After authentication: what is counted is the principal, and only where there is none the address.
        app = RateLimit(app, counters, most=most, window_ms=window_ms)
    if callers.challenges is None:
        return app
    failures = None
    if counters is not None and is_limited:
        failures = Failures(counters, callers.clock, most=most, window_ms=window_ms)
    return Authenticate(
        app,
        ways=callers.ways,
        challenges=callers.challenges,
        metadata=callers.metadata,
        opens_metrics=callers.opens_metrics,
        failures=failures,
    )
