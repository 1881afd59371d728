"""HTTP requests to an ASGI app of this process: no socket, but the same waiting, back-pressure and leaving."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import unquote

from portside.errors import HostGone
from portside.hosting.http.transport import Request

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HIGH_WATER: Final = 256 * 1024
"""How many bytes of a body may wait for their reader before the app is made to wait."""

CLOSE_S: Final = 2.0
"""How long the app may go on after all its clients have left, before what still runs is cancelled."""

_log = logging.getLogger("portside.hosting")


class AsgiTransport:
    """Calls an app as a server would. `host`: the Host of requests that are nobody's. `state`: from its lifespan."""

    def __init__(self, app: App, host: str, state: dict[str, Any]) -> None:
        self._app = app
        self._host = host.encode("latin-1")
        self._state = state
        self._running: set[asyncio.Task[None]] = set()
        self._exchanges: set[AsgiExchange] = set()
        self._is_closed = False

    async def send(self, request: Request) -> "AsgiExchange":
        """Return the response once the app has started it. Raises HostGone where it fails or returns before that."""
        if self._is_closed:
            raise HostGone("the app is closed")
        exchange = AsgiExchange(request.body)
        self._exchanges.add(exchange)
        task = asyncio.create_task(self._run(exchange, self._scope(request)), name="asgi-request")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            await exchange.head()
        except BaseException:
            exchange.close()
            raise
        return exchange

    async def close(self) -> None:
        """Let every client leave, give the app 2 s to notice, and cancel what still runs."""
        self._is_closed = True
        for exchange in list(self._exchanges):
            exchange.end("the app is closed")
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=CLOSE_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def _run(self, exchange: "AsgiExchange", scope: Scope) -> None:
        reason = "the app returned before it had answered"
        try:
            await self._app(scope, exchange.app_receives, exchange.app_sends)
        except Exception as error:
            reason = f"the app raised {type(error).__name__}"
            if not exchange.is_left:
                _log.error("the app failed on %s %s", scope["method"], scope["path"], exc_info=error)
        finally:
            self._exchanges.discard(exchange)
            exchange.end(reason)

    def _scope(self, request: Request) -> Scope:
        call = request.call
        path, _, query = request.target.partition(b"?")
        sent = list(request.headers)
        if not any(name == b"host" for name, _ in sent):
            sent.insert(0, (b"host", self._host))
        if request.method == b"POST":
            sent.append((b"content-length", str(len(request.body)).encode("ascii")))
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method.decode("ascii"),
            "scheme": call.scheme if call is not None else "http",
            "path": unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": sent,
            "client": call.client if call is not None else None,
            "server": None,
            "state": dict(self._state),
        }


class AsgiExchange:
    """One request and its answer: a `Response` for who asked, `receive` and `send` for the app."""

    def __init__(self, body: bytes) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.is_complete = False
        self.is_left = False
        self._body: bytes | None = body
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._error: HostGone | None = None
        self._changed = asyncio.Event()
        self._drained = asyncio.Event()
        self._left = asyncio.Event()

    # -- for who asked --------------------------------------------------------------------------

    async def head(self) -> None:
        """Return once status and headers are here. Raises HostGone."""
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def read(self, limit_bytes: int) -> bytes:
        """Return the whole body. Raises HostGone where it is longer than `limit_bytes`, or breaks off."""
        pieces: list[bytes] = []
        size = 0
        while piece := await self.chunk():
            size += len(piece)
            if size > limit_bytes:
                self.close()
                raise HostGone(f"the app answered with more than {limit_bytes} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    async def chunk(self) -> bytes:
        """Return the next piece of the body, empty at its end. Raises HostGone, but first gives what came before."""
        while not self._chunks:
            if self.is_complete:
                return b""
            if self._error is not None:
                raise self._error
            await self._wait()
        taken, self._chunks, self._buffered = self._chunks, [], 0
        self._drained.set()
        return b"".join(taken)

    def close(self) -> None:
        """Leave: the app is told `http.disconnect`, as it would be of a client whose connection ended."""
        self.end("the response was closed")

    def end(self, reason: str) -> None:
        """Nothing more will come, and nobody takes more."""
        if not self.is_complete and self._error is None:
            self._error = HostGone(f"{reason}; the outcome is unknown")
            self.is_left = True
        self._left.set()
        self._drained.set()
        self._changed.set()

    # -- for the app ----------------------------------------------------------------------------

    async def app_receives(self) -> MutableMapping[str, Any]:
        """The body in one piece; after that, word that the client has left or has all it asked for."""
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def app_sends(self, event: MutableMapping[str, Any]) -> None:
        """Take a piece of the answer, and wait while its reader is behind. After the client left, it goes nowhere."""
        if self._error is not None or self.is_complete:
            return
        if event["type"] == "http.response.start":
            self._start(event)
        elif event["type"] == "http.response.body":
            await self._add(event.get("body", b""), is_last=not event.get("more_body", False))

    def _start(self, event: MutableMapping[str, Any]) -> None:
        for name, value in event.get("headers", ()):
            key = bytes(name).lower()
            known = self.headers.get(key)
            self.headers[key] = bytes(value) if known is None else known + b", " + bytes(value)
        self.status = int(event["status"])
        self._changed.set()

    async def _add(self, body: bytes, *, is_last: bool) -> None:
        if body:
            self._chunks.append(bytes(body))
            self._buffered += len(body)
        if is_last:
            self.is_complete = True
            self._left.set()
        self._changed.set()
        while self._buffered > HIGH_WATER and not self.is_complete and self._error is None:
            self._drained.clear()
            await self._drained.wait()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()
