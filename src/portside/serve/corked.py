"""A response's own view of its connection, and a call to come."""

import asyncio
from collections.abc import Callable


class Corked:
    """A transport for one response that sends its head together with the first of its body: one system call less.

    A head that no body follows at once goes out by itself as soon as the loop comes round. Where the response ends the
    connection, `end` is called in place of the transport's own `close`.
    """

    __slots__ = ("_end", "_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, end: Callable[[], None]) -> None:
        self._transport = transport
        self._loop = loop
        self._end = end
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        """Hold the first piece back for a moment; send every other."""
        if self._head is None:
            self._head = data
            self._loop.call_soon(self.flush)
        elif self._head:
            head, self._head = self._head, b""
            self._transport.write(head + data)
        elif data:
            self._transport.write(data)

    def flush(self) -> None:
        """Send what is held back."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def close(self) -> None:
        """Send what is held back, and end the connection."""
        self.flush()
        self._end()

    def is_closing(self) -> bool:
        """Say whether the connection is being closed."""
        return self._transport.is_closing()


class Timer:
    """At most one call to come."""

    __slots__ = ("_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    def start(self, delay_s: float, then: Callable[[], None]) -> None:
        """Call `then` after `delay_s`, unless a call is to come already."""
        if self._handle is None:
            self._handle = self._loop.call_later(delay_s, self._fire, then)

    def stop(self) -> None:
        """Let the call not come."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self, then: Callable[[], None]) -> None:
        self._handle = None
        then()
