"""One direction of one connection through a fault proxy: what came waits here until it may leave."""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from typing import Final

from tests.faults.modes import BlackHole, CutAfter, Delay, Hold, Mode, Throttle, Towards

_MOST_WAITING: Final = 1024 * 1024
_PIECES_A_SECOND: Final = 50


class Ending(Enum):
    """How a sender ended: `CLOSED` in order, `GONE` with a reset."""

    CLOSED = "closed"
    GONE = "gone"


class Lane:
    """A queue with departure times.

    `cut` is called when the lane has passed all that it may, or its sender is gone; `ended` when the sender's orderly
    end has been passed on.
    """

    def __init__(self, towards: Towards, mode: Mode, *, cut: Callable[[], None], ended: Callable[[], None]) -> None:
        self.source: asyncio.Transport | None = None
        self.target: asyncio.Transport | None = None
        self.passed = 0
        self.has_ended = False
        self.has_lost = False
        self._loop = asyncio.get_running_loop()
        self._towards: Towards = towards
        self._cut = cut
        self._ended = ended
        self._waiting: deque[tuple[float, bytes | Ending]] = deque()
        self._size = 0
        self._free_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._is_full = False
        self._is_source_paused = False
        self._mode = mode
        self._left = _allowance(mode, towards, is_new=True)

    def set(self, mode: Mode) -> None:
        """Go on under another mode: what a delay or a hold kept back leaves at once, unless held again."""
        self._mode = mode
        self._left = _allowance(mode, self._towards, is_new=False)
        self._free_at = 0.0
        self._waiting = deque((0.0, what) for _, what in self._waiting)
        self.flush()

    def put(self, what: bytes | Ending) -> None:
        """Take what the source sent, or how it ended."""
        if isinstance(self._mode, BlackHole):
            self.has_lost = True
            return
        for piece in self._pieces(what):
            self._waiting.append((self._due(piece), piece))
            self._size += _length(piece)
        self.flush()

    def full(self, *, is_full: bool) -> None:
        """Say whether the target takes no more for now."""
        self._is_full = is_full
        self._press()

    def flush(self) -> None:
        """Send what is due, and come back for the rest."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting and self.target is not None and not isinstance(self._mode, Hold | BlackHole):
            due, what = self._waiting[0]
            if due > self._loop.time():
                self._timer = self._loop.call_at(due, self.flush)
                break
            self._waiting.popleft()
            self._size -= _length(what)
            if not self._send(self.target, what):
                return
        self._press()

    def close(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self.target = self.source = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _send(self, target: asyncio.Transport, what: bytes | Ending) -> bool:
        """Send one piece; False where that was the end of the connection."""
        if what is Ending.GONE:
            self._cut()
            return False
        if isinstance(what, Ending):
            self.has_ended = True
            if target.can_write_eof() and not target.is_closing():
                with suppress(OSError):  # its other end has gone, which it has not heard yet
                    target.write_eof()
            self._ended()
            return not target.is_closing()
        allowed = what if len(what) <= self._left else what[: int(self._left)]
        target.write(allowed)
        self.passed += len(allowed)
        self._left -= len(allowed)
        if self._left > 0:
            return True
        self._loop.call_soon(self._cut)  # the last bytes are with the kernel by then: a write is tried at once
        return False

    def _pieces(self, what: bytes | Ending) -> Iterator[bytes | Ending]:
        if not isinstance(self._mode, Throttle) or isinstance(what, Ending):
            yield what
            return
        step = max(1, int(self._mode.bytes_per_s / _PIECES_A_SECOND))
        yield from (what[at : at + step] for at in range(0, len(what), step))

    def _due(self, what: bytes | Ending) -> float:
        match self._mode:
            case Delay(ms):
                return self._loop.time() + ms / 1000
            case Throttle(rate):
                self._free_at = max(self._loop.time(), self._free_at) + _length(what) / rate
                return self._free_at
            case _:
                return 0.0

    def _press(self) -> None:
        """Make the source wait while the target does, or while too much waits here."""
        should = self._is_full or self._size > _MOST_WAITING
        if self.source is None or should == self._is_source_paused or self.source.is_closing():
            return
        self._is_source_paused = should
        if should:
            self.source.pause_reading()
        else:
            self.source.resume_reading()


def _length(what: bytes | Ending) -> int:
    return 0 if isinstance(what, Ending) else len(what)


def _allowance(mode: Mode, towards: Towards, *, is_new: bool) -> float:
    if not isinstance(mode, CutAfter) or mode.towards != towards or (is_new and not mode.is_for_new):
        return math.inf
    return mode.bytes
