"""The places for connections: so many and no more, given to whoever waits the longest."""

import asyncio
from collections import deque

from portside.errors import HostBusy, HostGone
from portside.hosting.http.connection import Connection

Given = Connection | None
"""What a waiter gets: a connection that became free, or None for a place to connect in."""


class Places:
    """Counts the connections for calls, idle ones too. Whoever takes a place frees it once its connection is gone."""

    def __init__(self, name: str, limit: int, wait_s: float) -> None:
        self.taken = 0
        self._name = name
        self._limit = limit
        self._wait_s = wait_s
        self._waiters: deque[asyncio.Future[Given]] = deque()

    def take(self) -> bool:
        """Take a place, if there is one."""
        if self.taken >= self._limit:
            return False
        self.taken += 1
        return True

    def free(self) -> None:
        """Give a place back, or to the first in line."""
        if not self._hand_over(None):
            self.taken -= 1

    def offer(self, connection: Connection) -> bool:
        """Give a free connection, with its place, to the first in line; say whether there is one."""
        return self._hand_over(connection)

    async def wait(self) -> Given:
        """Wait in line for a connection or a place. Raises HostBusy after the longest wait."""
        waiter: asyncio.Future[Given] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(self._wait_s):
                return await waiter
        except TimeoutError:
            self._decline(waiter)
            text = f"none of {self._limit} connections was free within {self._wait_s:g} s"
            raise HostBusy(f"{self._name}: {text}") from None
        except BaseException:
            self._decline(waiter)
            raise

    def _decline(self, waiter: "asyncio.Future[Given]") -> None:
        """Pass on what a waiter was given in the moment it stopped waiting."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        if not waiter.done() or waiter.cancelled() or waiter.exception() is not None:
            return
        given = waiter.result()
        if given is None:
            self.free()
        elif not self.offer(given):
            given.close()

    def close(self, error: HostGone) -> None:
        """Send everybody home."""
        waiters, self._waiters = self._waiters, deque()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(error)

    def _hand_over(self, given: Given) -> bool:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(given)
                return True
        return False
