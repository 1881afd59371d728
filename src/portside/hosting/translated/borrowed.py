"""The channel back of a legacy link that serves one modern call after the other."""

import asyncio
import contextlib
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Final

from portside.errors import NoBackChannel
from portside.hosting.base import Back
from portside.wire import changes, translate
from portside.wire.message import Message

Heard = Callable[[Message, str | None], None]
"""Takes an announcement, and the principal on whose link it was made."""

_COMPLETE: Final = "notifications/elicitation/complete"
_NOT_OF_A_CALL: Final = frozenset({"notifications/cancelled", "notifications/tasks/status"})


class Borrowed:
    """The channel back of a leased link: to whoever holds the lease."""

    def __init__(self, principal: str | None, capabilities: object, on_change: Heard) -> None:
        self.back: Back | None = None
        self.log_level: str | None = None
        self._principal = principal
        self._capabilities = capabilities
        self._on_change = on_change
        self._completed: set[object] = set()
        self._completing = asyncio.Event()

    async def notify(self, message: Message) -> None:
        """Pass a notification to the call in progress, announcements to subscribers.

        Log messages pass only where the caller asked for them and for their level.
        """
        if message.method in changes.CHANGES:
            self._on_change(message, self._principal)
        elif message.method == _COMPLETE:
            self._completed.add((message.params or {}).get("elicitationId"))
            self._completing.set()
        elif self.back is None or message.method in _NOT_OF_A_CALL:
            return
        elif message.method != "notifications/message" or changes.is_logged(message.params, self.log_level):
            await self.back.notify(message)

    async def request(self, message: Message) -> Message:
        """Ask the client of the call in progress; what it cannot answer is refused in a legacy client's words.

        Raises NoBackChannel where no call is in progress.
        """
        if message.method == "ping":
            return Message("response", id=message.id, result={})
        if self.back is None:
            raise NoBackChannel(f"{message.method!r} belongs to no call")
        lacking = translate.lacks_capability(message.method, message.params, self._capabilities)
        if lacking is not None:
            return translate.unanswered(message, lacking)
        return await self.back.request(message)

    async def until_completed(self, ids: AbstractSet[object], wait_s: float) -> None:
        """Return once the server has said that all these URL elicitations are completed, or after `wait_s`.

        A server may leave that out (MCP 2025-11-25, Completion Notifications), so the end of the wait is no error.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while not ids <= self._completed:
                    self._completing.clear()
                    await self._completing.wait()
        self._completed.clear()
