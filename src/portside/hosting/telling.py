"""A channel told from where waiting is not possible: each message by a task, in order."""

import asyncio
import logging
from collections import deque

from portside.errors import PortsideError
from portside.hosting.base import Back
from portside.wire.message import Message

_log = logging.getLogger("portside.hosting")


class Telling:
    """Hands notifications to a channel, one after the other."""

    def __init__(self, back: Back) -> None:
        self._back = back
        self._waiting: deque[Message] = deque()
        self._task: asyncio.Task[None] | None = None

    def tell(self, told: Message) -> None:
        """Have a notification told soon."""
        self._waiting.append(told)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._tell(), name="telling")

    async def close(self) -> None:
        """Stop; what has not been told by now is dropped. May be called twice."""
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _tell(self) -> None:
        try:
            while self._waiting:
                told = self._waiting.popleft()
                try:
                    await self._back.notify(told)
                except PortsideError as error:
                    _log.warning("%s was not passed on: %s", told.method, error.message)
        finally:
            self._task = None
