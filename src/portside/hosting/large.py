"""Work on much data, one piece at a time in a worker thread, so that the event loop goes on meanwhile."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from portside.hosting.trimming import Trimmer

P = ParamSpec("P")
R = TypeVar("R")


class LargeWork:
    """A turn to take: several threads that compute would keep the interpreter from the loop, and fill the memory.

    What is done must end by itself: a thread cannot be cancelled.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._trimmer = Trimmer()

    async def run(self, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return what `work` returns, or raise what it raises. The turn is held until it ends, also if cancelled."""
        async with self._turn:
            doing = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
            try:
                return await asyncio.shield(doing)
            except asyncio.CancelledError:
                await asyncio.wait([doing])
                if not doing.cancelled():
                    doing.exception()  # read, since whoever waited for it is gone
                raise
            finally:
                # An error knows this frame, and this frame would know the error: both would keep the data for long.
                del doing, args, kwargs
                self._trimmer.soon()
