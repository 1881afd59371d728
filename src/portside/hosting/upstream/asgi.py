"""Any ASGI app of this process that serves MCP itself: its lifespan is run, its endpoint found and called."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from portside.errors import HostGone, StartFailed
from portside.hosting.base import Back, Call, Description, Link
from portside.hosting.upstream import probe as upstream_probe
from portside.hosting.upstream.asgi_lifespan import AppLifespan
from portside.hosting.upstream.asgi_route import AppRoute
from portside.hosting.upstream.asgi_transport import App, AsgiTransport
from portside.hosting.upstream.endpoint import Endpoint
from portside.hosting.upstream.host import UpstreamHost
from portside.wire import headers
from portside.wire.session import SessionRecord

PATHS: Final = ("/mcp", "/mcp/", "/")
"""Where the endpoint is looked for when nobody says where it is."""

_OURS: Final = frozenset(
    {
        headers.VERSION,
        headers.METHOD,
        headers.NAME,
        headers.SESSION,
        headers.LAST_EVENT,
        b"accept",
        b"accept-encoding",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"expect",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-unmodified-since",
        b"keep-alive",
        b"range",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Headers that belong to one hop, or that portside sets itself."""


def near_headers(call: Call) -> list[tuple[bytes, bytes]]:
    """Return the caller's headers an app of this process gets: all that say who asks and where, Authorization too.

    The app is the user's own code, and may do its own authentication and check the Host itself.
    """
    return [pair for pair in call.headers if pair[0] not in _OURS]


class AsgiHost:
    """An ASGI app that serves MCP. A `Host`; whatever the app serves beside MCP is its routes.

    `path` is its MCP endpoint, None to look for it. `host` is the Host header of portside's own requests at the start:
    an app with an allow-list of hosts must have it there.
    """

    def __init__(self, app: App, path: str | None = None, *, host: str = "localhost:8000") -> None:
        self._app = app
        self._path = path
        self._own_host = host
        self._lifespan = AppLifespan(app)
        self._inner: UpstreamHost | None = None
        self._route: AppRoute | None = None

    @property
    def description(self) -> Description:
        """What the app says it is."""
        if self._inner is None:
            return Description(type(self._app).__name__, "asgi", "", ())
        return self._inner.description

    @property
    def routes(self) -> Sequence[Any]:
        """One route for everything but the MCP endpoint; known once the app has started."""
        return () if self._route is None else (self._route,)

    async def start(self) -> None:
        """Run the app's startup and find its endpoint. Raises StartFailed."""
        try:
            await self._lifespan.start()
            await self._find()
        except BaseException:
            await self.close()
            raise

    async def open(self, session: SessionRecord | None, back: Back) -> Link:
        """Return a link to the app's endpoint."""
        if self._inner is None:
            raise HostGone("the app has not started")
        return await self._inner.open(session, back)

    async def ping(self) -> None:
        """In process: whoever can ask is answered."""

    async def close(self) -> None:
        """End what runs in the app, then run its shutdown."""
        if self._inner is not None:
            await self._inner.close()
        await self._lifespan.stop()

    async def _find(self) -> None:
        state = self._lifespan.state
        transport = AsgiTransport(self._app, self._own_host, state)
        reasons: list[str] = []
        for path in PATHS if self._path is None else (self._path,):
            where = f"the app at {path}"
            endpoint = Endpoint(where, path.encode("ascii"), transport, passed=near_headers, is_near=True)
            inner = UpstreamHost(endpoint, family="asgi", is_foreign=False)
            try:
                await _start_once(inner, endpoint)
            except upstream_probe.Denied as error:
                # It does its own authentication, which is the callers' business and not ours.
                inner.assume(f"{error.message}: it is taken for an MCP endpoint that speaks both eras")
            except StartFailed as error:
                reasons.append(error.message)
                continue
            self._inner, self._route = inner, AppRoute(self._app, path, state)
            return
        raise StartFailed(
            "no MCP endpoint was found in the app:\n" + "\n".join(reasons),
            hint=f"name its path; if it answered 421, it does not accept the Host {self._own_host!r}",
        )


async def _start_once(inner: UpstreamHost, endpoint: Endpoint) -> None:
    """Start without waiting for what is in this process, and so is up or never will be."""
    try:
        async with asyncio.timeout(2 * upstream_probe.ANSWER_S):
            await inner.start()
    except TimeoutError:
        raise StartFailed(f"{endpoint.where} does not answer") from None
