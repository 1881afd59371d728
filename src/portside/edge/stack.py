"""The edge, in order, each layer with the reason for its place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from portside.edge.asgi import ASGIApp
from portside.edge.body import Body
from portside.edge.cors import Cors
from portside.edge.entry import Entry
from portside.edge.forwarded import Forwarded
from portside.edge.headers import HeadLimits
from portside.edge.limit import Admission
from portside.edge.origin import Origin
from portside.observe.record import Record


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


def build(app: ASGIApp, options: EdgeOptions, emit: Callable[[Record], None]) -> ASGIApp:
    """Return `app` behind the whole edge. Read from the bottom: the last line meets a request first."""
    # The body last: nothing is read for a request that is refused anyway.
    app = Body(app, max_bytes=options.max_body_bytes, timeout_s=options.body_timeout_s)
    # Admission before the body, so that slow senders count; after the refusals, which cost nothing.
    app = Admission(app, max_in_flight=options.max_in_flight)
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
