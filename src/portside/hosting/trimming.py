"""Giving memory back to the system once large work is over: the allocator keeps what it may need again, for ever."""

import asyncio
import ctypes
import sys
import threading
from typing import Final

AFTER_S: Final = 0.5
"""How long nothing large must have been done: what comes in a row may use the same memory again."""


class Trimmer:
    """Trims the process's heap half a second after the last `soon`, in a thread.

    Where the C library cannot do so, nothing happens: that is glibc's habit, and its remedy.
    """

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    def soon(self) -> None:
        """Ask for it; asked again in time, it is put off."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(AFTER_S, _begin)


def _begin() -> None:
    threading.Thread(target=_trim, name="trim", daemon=True).start()


def _trim() -> None:
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
