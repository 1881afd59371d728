"""Hands signed rows to whatever takes them off this machine, without anybody waiting for it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from portside.audit.base import Stored

Ship = Callable[[Stored], Awaitable[None]]
"""Takes one signed row off this machine. What it raises is logged and stops nothing."""

MAX_WAITING: Final = 1000
_log: structlog.stdlib.BoundLogger = structlog.get_logger("portside.audit")


class Shipping:
    """Ships rows one after the other, in order; past MAX_WAITING the oldest are dropped, and that is logged."""

    def __init__(self, ship: Ship) -> None:
        self._ship = ship
        self._rows: deque[Stored] = deque()
        self._task: asyncio.Task[None] | None = None

    def put(self, row: Stored) -> None:
        """Have a row shipped soon."""
        if len(self._rows) >= MAX_WAITING:
            lost = self._rows.popleft()
            _log.error("audit.shipping_full", writer=lost.writer, sequence=lost.sequence)
        self._rows.append(row)
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def close(self, timeout_s: float) -> None:
        """Wait for what is left, at most `timeout_s`; what is not shipped by then is logged."""
        task = self._task
        if task is None:
            return
        _, late = await asyncio.wait([task], timeout=timeout_s)
        if late:
            task.cancel()
            _log.error("audit.shipping_late", rows=len(self._rows) + 1)

    async def _run(self) -> None:
        try:
            while self._rows:
                row = self._rows.popleft()
                try:
                    await self._ship(row)
                except Exception as error:
                    _log.error("audit.shipping_failed", writer=row.writer, sequence=row.sequence, exc_info=error)
        finally:
            self._task = None
