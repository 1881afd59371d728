"""The process as a server: sockets, signals, drain, exit."""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable, Generator
from typing import Final

import uvicorn

from portside.errors import StartFailed
from portside.serve.protocol import Connection

FAREWELL_S: Final = 2.0
"""How long a replica that was told to stop still accepts connections, at most: proxies have to hear of it first."""

QUIET_S: Final = 0.1
"""Once so long nobody has come, nobody is expected any more."""

FORCED = 130
"""Exit code when a second Ctrl+C ends the process at once: 128 + SIGINT, as shells have it."""


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises StartFailed where the address cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(2048)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        raise StartFailed(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            hint="choose another address with MCP_HOST and MCP_PORT, or stop what listens there",
        ) from error
    sock.setblocking(False)
    return sock


def url(sock: socket.socket, scheme: str = "http") -> str:
    """Return where a socket listens, as a person would open it."""
    host, port = sock.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"{scheme}://{shown}:{port}"


class Server(uvicorn.Server):
    """uvicorn without its signal handling, since when to drain is our decision, and with a bound on TLS handshakes."""

    def __init__(self, config: uvicorn.Config, protocol: type[Connection]) -> None:
        super().__init__(config)
        self._protocol = protocol
        self._made = 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on `sockets`. A client has as long for its handshake as for the head of a request.

        uvicorn's own would leave it the event loop's minute.
        """
        loop = asyncio.get_running_loop()
        limit_s = None if self.config.ssl is None else self._protocol.bounds.header_timeout_s
        self.servers = [
            await loop.create_server(
                self._connection,
                sock=sock,
                ssl=self.config.ssl,
                backlog=self.config.backlog,
                ssl_handshake_timeout=limit_s,
            )
            for sock in sockets or ()
        ]
        self.started = True

    async def say_farewell(self, longest_s: float) -> None:
        """Answer on, but one request a connection, until nobody comes any more or `longest_s` are over.

        A socket that is closed at once takes with it the connections that wait to be accepted.
        """
        self._protocol.is_leaving = True
        loop, seen = asyncio.get_running_loop(), (-1, -1)
        until = loop.time() + longest_s
        while loop.time() < until:
            if seen == (now := (self._made, self.server_state.total_requests)):
                return
            seen = now
            await asyncio.sleep(QUIET_S)

    def _connection(self) -> asyncio.Protocol:
        self._made += 1
        return self._protocol(config=self.config, server_state=self.server_state, app_state={})

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self.server_state.connections)


def make(
    app: Callable[..., Awaitable[None]],
    protocol: type[Connection],
    *,
    idle_timeout_s: float,
    tls: ssl.SSLContext | None = None,
) -> Server:
    """Return a server for `app`, over TLS where there is a context; its drain deadline is set when draining begins."""
    config = uvicorn.Config(
        app,
        http=protocol,
        loop="none",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=max(1, round(idle_timeout_s)),
        ssl_context_factory=None if tls is None else _given(tls),
    )
    return Server(config, protocol)


def _given(tls: ssl.SSLContext) -> Callable[[uvicorn.Config, Callable[[], ssl.SSLContext]], ssl.SSLContext]:
    def context(_: uvicorn.Config, __: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        return tls

    return context


class Signals:
    """Turns signals into a drain: the first asks for it, a second Ctrl+C ends the process at once."""

    def __init__(self, on_first: Callable[[str], None]) -> None:
        self._on_first = on_first
        self._seen: str | None = None

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start listening to SIGINT and SIGTERM."""
        loop.add_signal_handler(signal.SIGINT, self._take, "SIGINT")
        loop.add_signal_handler(signal.SIGTERM, self._take, "SIGTERM")

    def _take(self, name: str) -> None:
        if self._seen is None:
            self._seen = name
            self._on_first(name)
        elif name == "SIGINT":
            # Threads of the user's code may never end; nothing gentler than this is certain.
            os._exit(FORCED)
