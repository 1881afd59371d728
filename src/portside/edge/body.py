"""The body, read whole before anybody acts on it: bounded in size and time."""

import asyncio
from typing import Final

from portside.edge.asgi import ASGIApp, Headers, Message, Receive, Scope, Send, refuse

CLOSE: Final[Headers] = ((b"connection", b"close"),)


def closing(scope: Scope) -> Headers:
    """Return what a refusal says where the body is still on its way: nobody waits for it, so the connection ends."""
    return () if "portside.complete" in scope else CLOSE


class Body:
    """Puts the body into `scope["portside.body"]` and hands on a `receive` that yields it once, then disconnects.

    A client that leaves before the end is recorded and not answered: part of a body is nobody's request.
    Over the limit is 413 before more than the limit has been read; past the deadline is 408. Both end the connection,
    since what else is on its way cannot be told from a next request.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, timeout_s: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = scope["portside.headers"].get(b"content-length")
        # A length of twenty digits is over any limit, and one of thousands would take long to read.
        if length is not None and length.isdigit() and int(length.lstrip(b"0")[:20] or b"0") > self._max_bytes:
            await self._refuse_size(scope, send)
            return
        # Most bodies have arrived with their head; only a wait that can be long is guarded.
        message = await (receive() if "portside.complete" in scope else self._first(receive))
        if message is None:
            await self._refuse_time(scope, send)
            return
        body = None if message["type"] == "http.disconnect" else message.get("body", b"")
        if body is not None and message.get("more_body", False):
            try:
                async with asyncio.timeout(self._timeout_s):
                    body = await self._rest(receive, body)
            except TimeoutError:
                await self._refuse_time(scope, send)
                return
        if body is None:
            scope["portside.record"].outcome = "cancelled"
            return
        if len(body) > self._max_bytes:
            await self._refuse_size(scope, send)
            return
        scope["portside.body"] = body
        scope["portside.record"].bytes_in = len(body)
        is_pending = True

        async def replay() -> Message:
            nonlocal is_pending
            if is_pending:
                is_pending = False
                return {"type": "http.request", "body": body, "more_body": False}
            return await receive()

        await self._app(scope, replay, send)

    async def _first(self, receive: Receive) -> Message | None:
        """Return the first part of the body, None where it does not come in time."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await receive()
        except TimeoutError:
            return None

    async def _rest(self, receive: Receive, first: bytes) -> bytes | None:
        """Return the body up to its end or just over the limit, None where the client left before."""
        parts, size = [first], len(first)
        while size <= self._max_bytes:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part = message.get("body", b"")
            parts.append(part)
            size += len(part)
            if not message.get("more_body", False):
                break
        return b"".join(parts)

    async def _refuse_size(self, scope: Scope, send: Send) -> None:
        await refuse(scope, send, 413, f"the body is larger than {self._max_bytes} bytes", CLOSE)

    async def _refuse_time(self, scope: Scope, send: Send) -> None:
        await refuse(scope, send, 408, f"the body was not complete within {self._timeout_s:g} s", CLOSE)
