"""The ends of a child's pipes: reading that cannot starve the loop, writing that cannot grow without bound."""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from typing import Final

from portside.errors import HostGone
from portside.hosting.stdio.lines import Lines, Oversized

READ_BYTES: Final = 64 * 1024
LINES_PER_TURN: Final = 128
"""How much is read, and how many lines are handled, before everybody else on the loop has a turn."""

MAX_WAITING_BYTES: Final = 64 * 1024
MAX_SOON_BYTES: Final = 256 * 1024


class Reader:
    """Reads lines from a pipe and hands them on, until its end. Owns the descriptor."""

    def __init__(
        self,
        descriptor: int,
        max_line_bytes: int,
        on_line: Callable[[bytes | Oversized], None],
        on_end: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._descriptor = descriptor
        self._lines = Lines(max_line_bytes)
        self._on_line = on_line
        self._on_end = on_end
        self._is_open = True
        self._has_ended = False
        self._is_paused = False
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._read)

    def close(self) -> None:
        """Stop reading. What was not handed on is lost. May be called twice."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if data:
            self._lines.feed(data)
        else:
            self._has_ended = True
            self._lines.finish()
        self._hand_on()

    def _hand_on(self) -> None:
        """Handle some lines; with more to come, read nothing new until they were handled."""
        if not self._is_open:
            return
        for _ in range(LINES_PER_TURN):
            line = self._lines.take()
            if line is None:
                break
            self._on_line(line)
            if not self._is_open:
                return
        if len(self._lines):
            self._pause(True)
            self._loop.call_soon(self._hand_on)
        elif self._has_ended:
            self.close()
            self._on_end()
        else:
            self._pause(False)

    def _pause(self, is_paused: bool) -> None:
        if is_paused == self._is_paused:
            return
        self._is_paused = is_paused
        if is_paused:
            self._loop.remove_reader(self._descriptor)
        else:
            self._loop.add_reader(self._descriptor, self._read)


class Writer:
    """Writes whole lines to a pipe, which it owns; what is unsent is bounded: whoever writes waits, or is refused.

    A line is sent whole or not at all: once a part of it is in the pipe the rest follows, whoever wrote it.
    """

    def __init__(self, descriptor: int, name: str, on_broken: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._descriptor = descriptor
        self._name = name
        self._on_broken = on_broken
        self._is_open = True
        self._is_watching = False
        # Views, so that a long line is not copied for every piece of it the pipe takes.
        self._pieces: deque[memoryview] = deque()
        self._size = 0
        self._turns: deque[asyncio.Future[None]] = deque()
        os.set_blocking(descriptor, False)

    async def write(self, line: bytes) -> None:
        """Send a line and its end, in turn; waits while much is unsent. Cancelled while it waits, it sent nothing.

        Raises HostGone where the pipe is closed.
        """
        while self._is_open and self._size > MAX_WAITING_BYTES:
            turn = self._loop.create_future()
            self._turns.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake()  # the turn was given to one who leaves
                raise
        if not self._is_open:
            raise HostGone(f"{self._name} does not read any more")
        self._put(line)
        if not self._is_open:
            raise HostGone(f"{self._name} does not read any more")
        self._wake()

    def write_soon(self, line: bytes) -> bool:
        """Send a line without waiting; say whether it was taken: not where the child has stopped reading."""
        if not self._is_open or self._size + len(line) > MAX_SOON_BYTES:
            return False
        self._put(line)
        return self._is_open

    def close(self) -> None:
        """Close the pipe, which tells the child that no more comes; what was not sent is lost. May be called twice."""
        if not self._is_open:
            return
        self._is_open = False
        if self._is_watching:
            self._loop.remove_writer(self._descriptor)
        os.close(self._descriptor)
        self._pieces.clear()
        while self._turns:
            self._wake_one()

    def _put(self, line: bytes) -> None:
        self._pieces.append(memoryview(line + b"\n"))
        self._size += len(line) + 1
        if not self._is_watching:
            self._send()

    def _send(self) -> None:
        try:
            while self._pieces:
                piece = self._pieces[0]
                sent = os.write(self._descriptor, piece)
                self._size -= sent
                if sent < len(piece):
                    self._pieces[0] = piece[sent:]
                else:
                    self._pieces.popleft()
        except (BlockingIOError, InterruptedError):
            if not self._is_watching:
                self._is_watching = True
                self._loop.add_writer(self._descriptor, self._send)
            self._wake()
            return
        except OSError:
            self.close()
            self._on_broken()
            return
        if self._is_watching:
            self._is_watching = False
            self._loop.remove_writer(self._descriptor)
        self._wake()

    def _wake(self) -> None:
        if self._turns and self._size <= MAX_WAITING_BYTES:
            self._wake_one()

    def _wake_one(self) -> None:
        while self._turns:
            turn = self._turns.popleft()
            if not turn.done():
                turn.set_result(None)
                return
