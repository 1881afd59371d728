"""One connection through a fault proxy: the client's end, the server's end, and a lane each way between them."""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

from tests.faults.lane import Ending, Lane
from tests.faults.modes import BlackHole, Mode, Reset

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER, 0 s


class Through:
    """A pair of ends; `server_port` is where the second one leads, `forget` is called once it is over.

    Ends close a turn of the loop or two after that: `gone` waits for them.
    """

    def __init__(self, mode: Mode, server_port: int, forget: Callable[["Through"], None]) -> None:
        self.to_server = Lane("server", mode, cut=self.reset, ended=self._ended)
        self.to_client = Lane("client", mode, cut=self.reset, ended=self._ended)
        self.client = End(self.to_server, self.to_client, made=self._accepted)
        self.server = End(self.to_client, self.to_server)
        self._mode = mode
        self._server_port = server_port
        self._forget = forget
        self._connecting: asyncio.Task[None] | None = None

    def set(self, mode: Mode) -> None:
        """Go on under another mode."""
        was, self._mode = self._mode, mode
        has_lost = self.to_client.has_lost or self.to_server.has_lost
        if isinstance(mode, Reset) or (isinstance(was, BlackHole) and not isinstance(mode, BlackHole) and has_lost):
            self.reset()
            return
        self.to_client.set(mode)
        self.to_server.set(mode)

    def reset(self) -> None:
        """End both ends with a reset."""
        if self._connecting is not None and self._connecting is not asyncio.current_task():
            self._connecting.cancel()
        self.client.reset(is_coming=True)
        self.server.reset(is_coming=False)
        self._done()

    def _accepted(self) -> None:
        """Begin to connect to the server; under some modes the client talks to nobody."""
        if isinstance(self._mode, Reset):
            self.reset()
        elif isinstance(self._mode, BlackHole):
            self.to_server.has_lost = True
        else:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def _ended(self) -> None:
        """Close what is left once both ends have said all they had to say."""
        if self.to_client.has_ended and self.to_server.has_ended:
            self.client.close()
            self.server.close()
            self._done()

    @property
    def is_gone(self) -> bool:
        """Whether nothing is open or opening any more."""
        is_connecting = self._connecting is not None and not self._connecting.done()
        return self.client.gone.is_set() and self.server.gone.is_set() and not is_connecting

    async def gone(self) -> None:
        """Return once nothing is open or opening any more; it must have been reset before."""
        if self._connecting is not None:
            await asyncio.wait([self._connecting])
        await asyncio.gather(self.client.gone.wait(), self.server.gone.wait())

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.server, "127.0.0.1", self._server_port)
        except OSError:  # the client is told what it would have been told
            self.reset()

    def _done(self) -> None:
        self.to_client.close()
        self.to_server.close()
        self._forget(self)


class End(asyncio.Protocol):
    """One end: what it hears goes into `heard`, `said` writes to it; `made` is called once it is there.

    `gone` is set once it is closed, or will never be there.
    """

    def __init__(self, heard: Lane, said: Lane, *, made: Callable[[], None] = lambda: None) -> None:
        self.gone = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._is_over = False
        self._made = made
        self._heard = heard
        self._said = said

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.gone.clear()
        self._transport = cast("asyncio.Transport", transport)
        if self._is_over:
            self._abort(self._transport)
            return
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._heard.source = self._transport
        self._said.target = self._transport
        self._said.flush()
        self._made()

    def data_received(self, data: bytes) -> None:
        self._heard.put(data)

    def eof_received(self) -> bool:
        self._heard.put(Ending.CLOSED)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._said.target = None
        self.gone.set()
        if exc is not None and not self._is_over:
            self._heard.put(Ending.GONE)

    def pause_writing(self) -> None:
        self._said.full(is_full=True)

    def resume_writing(self) -> None:
        self._said.full(is_full=False)

    def close(self) -> None:
        """End this end in order."""
        self._is_over = True
        if self._transport is not None:
            self._transport.close()

    def reset(self, *, is_coming: bool) -> None:
        """End this end with a reset, also one that `is_coming` though it is not there yet."""
        self._is_over = True
        if self._transport is not None:
            self._abort(self._transport)
        elif not is_coming:
            self.gone.set()

    def _abort(self, transport: asyncio.Transport) -> None:
        with suppress(OSError):  # closed already
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()
