"""A server in this process that says more than fits anywhere."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from portside.edge.asgi import Receive, Scope, Send
from portside.serve import server
from portside.serve.protocol import protocol_class

BLOCK: Final = b"x" * 16 * 1024
WHOLE: Final = bytes(8 * 1024 * 1024)
SEND_S: Final = 0.5


@dataclass
class Pouring:
    """The server, how much it has said to each client, and what it was asked with."""

    port: int
    server: server.Server
    produced: list[int] = field(default_factory=list[int])
    scopes: list[Scope] = field(default_factory=list[Scope])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["path"] == "/whole":
            await _start(send, (b"content-length", str(len(WHOLE)).encode()))
            await send({"type": "http.response.body", "body": WHOLE})
            return
        gone = asyncio.create_task(_gone(receive))
        number = len(self.produced)
        self.produced.append(0)
        await _start(send)
        while not gone.done():
            await send({"type": "http.response.body", "body": BLOCK, "more_body": True})
            self.produced[number] += len(BLOCK)
            await asyncio.sleep(0)  # sending alone lets nobody else run

    async def empty(self) -> None:
        """Return once no connection is left."""
        while self.server.connections:
            await asyncio.sleep(0.02)  # uvicorn says it to nobody


async def _start(send: Send, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": list(headers)})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@asynccontextmanager
async def pouring(tls: ssl.SSLContext | None = None) -> AsyncGenerator[Pouring]:
    """Run the server for the block; over TLS where there is a context."""
    protocol = protocol_class(
        header_timeout_s=30, max_header_bytes=2000, max_url_bytes=200, max_connections=100, send_timeout_s=SEND_S
    )
    sock = server.bind("127.0.0.1", 0)
    holder: list[Pouring] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await holder[0](scope, receive, send)

    made = server.make(app, protocol, idle_timeout_s=30, tls=tls)
    holder.append(Pouring(sock.getsockname()[1], made))
    task = asyncio.create_task(made.serve(sockets=[sock]))
    try:
        async with asyncio.timeout(20):
            yield holder[0]
    finally:
        made.should_exit = True
        await task
