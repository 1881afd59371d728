"""The shapes of ASGI, and a whole answer in one call."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import msgspec

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]


# A layer that only looks at a request returns the next layer's awaitable instead of awaiting it: a request, and above
# all a stream that stays open for hours, then holds no frame of it.


async def refuse(scope: Scope, send: Send, status: int, message: str, headers: Headers = ()) -> None:
    """Answer with an error a person and a program can read, and note it in the request's record."""
    record = scope.get("portside.record")
    if record is not None:
        record.outcome, record.error = "refused", message
    body = msgspec.json.encode({"error": {"status": status, "message": message}})
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
