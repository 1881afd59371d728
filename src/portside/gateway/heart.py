"""What keeps a replica's life leased while its event loop is busy: a thread that does nothing else."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final

from portside.clock import Clock
from portside.state.base import Leases

TICK_S: Final = 1.0
HUNG_S: Final = 10.0
"""A loop that has not run for so long is not busy, it hangs: then the heart stops too, and others take over."""

_log = logging.getLogger("portside.gateway")


class Heart:
    """Calls `beat` with leases of the thread's own, every `every_s`, for as long as the loop that opened it runs.

    So a tool that blocks the loop for some seconds costs no session, and a process that hangs loses all of them.
    """

    def __init__(
        self,
        apart: Callable[[], AbstractAsyncContextManager[Leases]],
        beat: Callable[[Leases], Awaitable[None]],
        clock: Clock,
        *,
        every_s: float,
    ) -> None:
        self._apart = apart
        self._beat = beat
        self._clock = clock
        self._every_s = every_s
        self._ticked = clock.monotonic()
        self._ticking: asyncio.TimerHandle | None = None
        self._stopped = threading.Event()
        self._wake: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)

    def open(self) -> None:
        """Begin to beat, and to watch the running loop."""
        self._tick()
        self._thread.start()

    async def close(self) -> None:
        """Stop; returns once the thread has ended, which is after a beat at the latest."""
        if self._ticking is not None:
            self._ticking.cancel()
        self._stopped.set()
        with suppress(RuntimeError):  # its loop has ended already
            self._wake()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)

    def _tick(self) -> None:
        self._ticked = self._clock.monotonic()
        self._ticking = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _run(self) -> None:
        asyncio.run(self._beats())

    async def _beats(self) -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        self._wake = lambda: loop.call_soon_threadsafe(ended.set)
        async with self._apart() as leases:
            while not self._stopped.is_set():
                if self._clock.monotonic() - self._ticked < HUNG_S:
                    try:
                        await self._beat(leases)
                    except Exception:
                        # Without another beat this replica would lose every session, and never get one again.
                        _log.exception("a beat failed in a way that nobody foresaw")
                # The loop must run meanwhile: what finds out that state is back runs on it.
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._every_s):
                        await ended.wait()
