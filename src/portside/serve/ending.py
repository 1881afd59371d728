"""How a connection ends: refusals in their turn, time to read them, and resets of whoever reads nothing."""

import logging
import socket
import struct
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from portside.serve.corked import Timer
from portside.serve.refused import answer

LINGER_S: Final = 1.0
"""How long a refused client may go on sending before the connection is closed under it."""

LINGER_BYTES: Final = 64 * 1024
"""How much of what it sends meanwhile is read, to be thrown away."""

MAX_LINGERING: Final = 1000
"""Refused connections that are waited for at once; more are closed under their clients."""

BETWEEN, HEAD, BODY = range(3)
"""What is being read."""

_RESET: Final = struct.pack("ii", 1, 0)

_log = logging.getLogger("portside.serve")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the connections of one server may do, and those that are open. Times in seconds."""

    header_timeout_s: float
    max_header_bytes: int
    max_url_bytes: int
    max_connections: int
    send_timeout_s: float
    admitted: set[object] = field(default_factory=set[object])
    lingering: set[object] = field(default_factory=set[object])


class _Pipeline(list[Any]):
    """What uvicorn asks of a deque, in 60 bytes where that takes 760: hardly any connection has one waiting."""

    __slots__ = ()

    def appendleft(self, waiting: Any) -> None:
        self.insert(0, waiting)

    def popleft(self) -> Any:
        return self.pop(0)


class Ending(HttpToolsProtocol):
    """The part of a connection that answers for its end."""

    # In slots: with these beside uvicorn's own, an instance's dictionary would be larger than all else of a connection.
    __slots__ = (
        "_deadline",
        "_idle",
        "_idle_since",
        "_is_deaf",
        "_is_lingering",
        "_linger_timer",
        "_owed",
        "_phase",
        "_running",
        "_stall",
        "_thrown_bytes",
    )

    bounds: ClassVar[Bounds]

    # uvicorn's own, which are None before the first connection and after the last byte, but not in between.
    parser: Any
    cycle: Any
    scope: Any
    headers: Any

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.pipeline: Any = _Pipeline()
        self._phase = BETWEEN
        self._thrown_bytes = 0
        self._is_deaf = False
        self._is_lingering = False
        self._owed: int | None = None
        self._running: Any = None
        self._idle_since: float | None = None
        self._deadline, self._stall = Timer(self.loop), Timer(self.loop)
        self._linger_timer, self._idle = Timer(self.loop), Timer(self.loop)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _is_answering(self) -> bool:
        return bool(self.pipeline) or (self._running is not None and not self._running.response_complete)

    def pause_writing(self) -> None:
        """Note that the kernel takes no more; from now on the time of a reader who does not read runs."""
        super().pause_writing()
        self._stall.start(self.bounds.send_timeout_s, self._reset)

    def resume_writing(self) -> None:
        """Note that the kernel has taken everything."""
        self._stall.stop()
        super().resume_writing()

    def _rest(self) -> None:
        # uvicorn sets a timer after each answer and cancels it with the next request; this one looks again instead.
        self._idle_since = self.loop.time()
        self._idle.start(self.timeout_keep_alive, self._rested)

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = None

    def _rested(self) -> None:
        if self._idle_since is None:
            return  # it is in use; the timer begins anew when that ends
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._idle.start(left, self._rested)
        else:
            self.timeout_keep_alive_handler()

    def _refuse(self, status: int) -> None:
        """Answer what cannot be served, once the requests before it are answered, and listen no more."""
        if self._is_deaf or self.transport.is_closing():
            return
        self._is_deaf = True
        self._deadline.stop()
        if self._phase == BODY and self.cycle is self._running:
            self._abandon()
        elif self._phase == BODY:
            self.pipeline.popleft()  # the newest: what was refused is its body
        if self._running is not None and self._running.disconnected:
            self._say(status) if not self._running.response_started else self._end()
        elif self._is_answering():
            self._owed = status
        else:
            self._say(status)

    def _abandon(self) -> None:
        """Let the request being answered, if any, know that its client is gone."""
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.waiting_for_100_continue = False
            self._running.message_event.set()

    def _say(self, status: int) -> None:
        client = self.client[0] if self.client else ""
        _log.info("connection.refused", extra={"portside": {"status": status, "client": client}})
        dated = self.server_state.default_headers
        self.transport.write(answer(status, is_secure=self.scheme == "https", also=dated))
        self._linger()

    def _end(self) -> None:
        """Close once everything has left; where the client is still sending, let it read the answer first."""
        if self._phase == BODY:
            self._linger()
        else:
            self.transport.close()

    def _linger(self) -> None:
        # Closing while bytes are still coming in would reset the connection, and the answer with it.
        self._is_deaf = True
        self._deadline.stop()
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        if len(self.bounds.lingering) >= MAX_LINGERING:
            self.transport.close()
            return
        self._is_lingering = True
        self.bounds.lingering.add(self)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._linger_timer.start(LINGER_S, self._part)

    def _part(self) -> None:
        # Over TLS, closing waits for the client's word, which is not read any more where it sent too much.
        if self._thrown_bytes > LINGER_BYTES:
            self.transport.abort()
        else:
            self.transport.close()

    def _throw_away(self, size: int) -> None:
        self._thrown_bytes += size
        if self._thrown_bytes > LINGER_BYTES:
            self.transport.pause_reading()

    def _reset(self) -> None:
        # With a reset the kernel forgets what it still holds; otherwise it would go on trying for minutes.
        self._set(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def _set(self, level: int, option: int | None, value: int | bytes) -> None:
        sock = self.transport.get_extra_info("socket")
        if sock is not None and option is not None:
            sock.setsockopt(level, option, value)
