"""From ASGI to what the gateway knows of HTTP, and back."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from portside.gateway.http import Headers, Incoming

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class AsgiOut:
    """`Outgoing` on an ASGI server."""

    __slots__ = ("_receive", "_send")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send

    async def start(self, status: int, headers: Headers) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def write(self, body: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


def incoming_of(scope: Scope) -> Incoming:
    """Return a request as the edge has left it in its scope, under names that begin with `portside.`."""
    raw: Headers = scope["headers"]
    incoming = Incoming(
        method=scope["method"],
        headers=scope.get("portside.headers") or dict(raw),
        raw_headers=raw,
        body=scope.get("portside.body", b""),
        record=scope["portside.record"],
        client=scope.get("client"),
        scheme=scope.get("scheme", "http"),
        path=scope["path"],
        principal=scope.get("portside.principal"),
        identity=scope.get("portside.identity"),
        limit=scope.get("portside.limit"),
    )
    release = scope.get("portside.release")
    if release is not None:
        incoming.release = release
    return incoming
