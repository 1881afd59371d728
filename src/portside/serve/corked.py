"""A response's own view of its connection, and a call to come."""

import asyncio
from collections.abc import Callable
from typing import Final

_INTERIM: Final = b"HTTP/1.1 1"
"""How a response begins that another one follows (100 Continue): it is no head of ours."""


class Corked:
    """A transport for one response that sends its head together with the first of its body: one system call less.

    A head that says how long the body is waits for it, where one `follows` (not so for HEAD); any other goes out by
    itself as soon as the loop comes round. Where the response ends the connection, `end` is called in place of the
    transport's own `close`.
    """

    __slots__ = ("_also", "_end", "_follows", "_head", "_loop", "_transport")

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, end: Callable[[], None], *, follows: bool
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._end = end
        self._follows = follows
        self._head: bytes | None = None
        self._also = b""

    def also(self, lines: bytes) -> None:
        """Have these lines, each with its end, be the last of the head that is about to be written."""
        self._also = lines

    def write(self, data: bytes) -> None:
        """Hold the first piece back for a moment; send every other."""
        if self._head is None:
            if data.startswith(_INTERIM):
                self._transport.write(data)
                return
            self._head = data[:-2] + self._also + data[-2:]
            if not (self._follows and b"\r\ncontent-length: " in data):
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
