"""Admission: how many requests may be answered at once."""

from typing import Final

from portside.edge.asgi import ASGIApp, Receive, Scope, Send, refuse
from portside.edge.body import closing

EXEMPT: Final = frozenset({"/health", "/ready", "/metrics"})


class Admission:
    """Refuses with 503 past the limit, at once: a queue would only make everybody late.

    Streams that stay open give their place back (`scope["portside.release"]`), since they do not compute.
    """

    def __init__(self, app: ASGIApp, *, max_in_flight: int) -> None:
        self._app = app
        self._max = max_in_flight
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in EXEMPT:
            await self._app(scope, receive, send)
            return
        if self.in_flight >= self._max:
            head = [(b"retry-after", b"1"), *closing(scope)]
            await refuse(scope, send, 503, "too many requests are being answered", head)
            return
        self.in_flight += 1
        is_held = True

        def release() -> None:
            nonlocal is_held
            if is_held:
                is_held = False
                self.in_flight -= 1

        scope["portside.release"] = release
        try:
            await self._app(scope, receive, send)
        finally:
            release()
