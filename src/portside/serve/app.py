"""What answers behind the edge: the MCP endpoint, the hosted server's own routes, and 404."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final

import msgspec

from portside.gateway.endpoint import Gateway
from portside.observe.record import Record
from portside.wire import refusal

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ENDPOINT: Final = "/mcp"
_FULL_MATCH: Final = 2

_NOT_READY: Final = msgspec.json.encode(
    {"jsonrpc": "2.0", "id": None, "error": {"code": refusal.NOT_READY, "message": "the server is not ready yet"}}
)
_NOT_FOUND: Final = msgspec.json.encode({"error": {"message": f"nothing here; the MCP endpoint is {ENDPOINT}"}})


class App:
    """Routes requests. `gateway` and `routes` are set once the hosted server has started; before, MCP answers 503."""

    def __init__(self) -> None:
        self.gateway: Gateway | None = None
        self.routes: Sequence[Any] = ()

    def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> Awaitable[None]:
        record: Record = scope["portside.record"]
        path = scope["path"]
        if path == ENDPOINT or path == "/mcp/":
            record.route = ENDPOINT
            if self.gateway is not None:
                return self.gateway(scope, receive, send)
            return _answer(send, 503, _NOT_READY, (b"retry-after", b"1"))
        for route in self.routes:
            match, child = route.matches(scope)
            if match.value == _FULL_MATCH:
                record.route = route.path
                scope.update(child)
                return route.handle(scope, receive, send)
        return _answer(send, 404, _NOT_FOUND)


async def _answer(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    length = (b"content-length", str(len(body)).encode())
    head = [(b"content-type", b"application/json"), length, *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
