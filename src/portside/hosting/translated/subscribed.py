"""The one `subscriptions/listen` of a legacy session to a modern server, opened anew whenever its filter changes."""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from portside.errors import HostGone, PortsideError
from portside.hosting.base import Back
from portside.wire import changes
from portside.wire.message import Message, notification
from portside.wire.translate import members
from portside.wire.translate_legacy import announcement

ACKNOWLEDGE_S: Final = 10.0
"""How long a server may take to acknowledge a subscription."""

BACKOFF_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Pauses between attempts to open a stream that ended by itself."""

_log = logging.getLogger("portside.hosting")


class NotAcknowledged(PortsideError):
    """A modern server did not take a subscription."""


class Listen(Protocol):
    """How a session sends its `subscriptions/listen`."""

    def __call__(self, filter: dict[str, Any], back: Back) -> Awaitable[Message]:
        """Return the response that ends the stream. Raises HostGone."""
        ...


class Subscribed:
    """What one session listens to, and the stream that brings it. Announcements go to `back`."""

    def __init__(self, listen: Listen, back: Back, heard: Callable[[Message], None] | None = None) -> None:
        self._listen = listen
        self._back = back
        self._heard = heard
        self._stream: _Stream | None = None
        self._filter: dict[str, Any] = {}
        self._lock = asyncio.Lock()
        self._reopening: asyncio.Task[None] | None = None
        self._is_closed = False

    async def want(self, filter: dict[str, Any]) -> dict[str, Any]:
        """Listen to this from now on, and return what the server acknowledged of it.

        The new stream is open before the old one ends, so nothing is lost between them. Raises NotAcknowledged, after
        which everything is as before, and HostGone.
        """
        async with self._lock:
            if not filter:
                await self._replace(None)
                return {}
            stream = await self._open(filter)
            if self._is_closed:
                await stream.end()
                raise NotAcknowledged("the session has ended")
            await self._replace(stream)
            self._filter = filter
            return stream.acknowledged.result()

    async def close(self) -> None:
        """Stop listening. May be called twice."""
        self._is_closed = True
        if self._reopening is not None:
            self._reopening.cancel()
        await self._replace(None)

    async def _open(self, filter: dict[str, Any]) -> "_Stream":
        stream = _Stream(self._back, self._heard)
        stream.task = asyncio.create_task(self._run(stream, filter), name="session-listen")
        try:
            async with asyncio.timeout(ACKNOWLEDGE_S):
                await asyncio.wait([stream.task, stream.acknowledged], return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            await stream.end()
            raise NotAcknowledged(f"the server did not acknowledge the subscription in {ACKNOWLEDGE_S:g} s") from None
        except BaseException:
            await stream.end()
            raise
        if not stream.acknowledged.done():
            reply = stream.task.result()
            reason = "ended the stream" if reply.error is None else reply.error["message"]
            raise NotAcknowledged(f"the server did not acknowledge the subscription: {reason}")
        return stream

    async def _run(self, stream: "_Stream", filter: dict[str, Any]) -> Message:
        try:
            return await self._listen(filter, stream)
        finally:
            if stream is self._stream and not self._is_closed:
                self._reopening = asyncio.create_task(self._reopen(), name="session-relisten")

    async def _replace(self, stream: "_Stream | None") -> None:
        old, self._stream = self._stream, stream
        if old is not None:
            await old.end()

    async def _reopen(self) -> None:
        """Open a stream that ended by itself anew; what was announced meanwhile is lost, so everything is announced."""
        for pause_s in itertools.chain(BACKOFF_S, itertools.repeat(BACKOFF_S[-1])):
            # Also before the first attempt: a server may end every stream as soon as it is open.
            await asyncio.sleep(pause_s)
            try:
                await self.want(self._filter)
                break
            except (HostGone, NotAcknowledged) as error:
                _log.debug("the stream of a session cannot be opened again yet: %s", error.message)
        for told in changes.every_change(self._filter):
            if self._heard is not None:
                self._heard(told)
            await self._back.notify(told)


class _Stream:
    """One `subscriptions/listen` under way, as the `Back` of its request."""

    def __init__(self, back: Back, heard: Callable[[Message], None] | None) -> None:
        self.acknowledged: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[Message] | None = None
        self._back = back
        self._heard = heard

    async def notify(self, message: Message) -> None:
        if message.method == "notifications/subscriptions/acknowledged":
            if not self.acknowledged.done():
                self.acknowledged.set_result(members((message.params or {}).get("notifications")))
            return
        if self._heard is not None:
            self._heard(message)
        await self._back.notify(notification(message.method, announcement(message.params)))

    async def request(self, message: Message) -> Message:
        return await self._back.request(message)

    async def end(self) -> None:
        """Close the stream and wait until it is closed."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
