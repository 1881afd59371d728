"""Holding a hosted server's lifespan open in one task, as context managers with cancel scopes demand."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

T = TypeVar("T")


class Lifespan(Generic[T]):
    """Enters a context manager in a task of its own and leaves it in the same task."""

    def __init__(self, context: AbstractAsyncContextManager[T]) -> None:
        self._context = context
        self._state: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> T:
        """Return what the context manager yields; raises what entering it raises. Cancelling it abandons the start."""
        self._task = asyncio.create_task(self._run(), name="hosted-lifespan")
        try:
            return await asyncio.shield(self._state)
        except asyncio.CancelledError:
            self._task.cancel()
            raise

    async def stop(self) -> None:
        """Leave the context manager; raises what leaving it raises. May be called twice."""
        self._stop.set()
        is_entered = self._state.done() and not self._state.cancelled() and self._state.exception() is None
        if self._task is not None and is_entered:
            await asyncio.shield(self._task)

    async def _run(self) -> None:
        try:
            async with self._context as state:
                self._state.set_result(state)
                await self._stop.wait()
        except BaseException as error:
            if self._state.done():
                raise
            if isinstance(error, asyncio.CancelledError):
                self._state.cancel()
                raise
            self._state.set_exception(error)
