"""Whoever hears announcements at this replica: modern subscriptions and legacy sessions, alike in what they ask for."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from portside.auth.principal import ANONYMOUS, Principal
from portside.auth.scopes import Policy
from portside.errors import PortsideError
from portside.gateway.bulletins import Key, announcement, key_of
from portside.hosting.base import Back
from portside.wire import changes, classify, message
from portside.wire.message import Message
from portside.wire.translate import members

ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"

MAX_PENDING: Final = 1024
"""Changes a listener has not taken yet; past that many it is told to look at all it listens to, and at no part."""

_log = logging.getLogger("portside.gateway")

Heard = Callable[[Message, "Ear"], None]
Changed = Callable[[], None]


class Ear:
    """One listener, and the `Back` its server speaks to it on. What that says passes through and is heard.

    `wanted` is what it listens to, in the words of a modern subscription's filter, and `meta` what each announcement to
    it carries. A change that comes several times before it could be told is told once. Nobody is told of a resource
    that the caller may not read.
    """

    def __init__(self, back: Back, heard: Heard, changed: Changed, policy: Policy, *, is_session: bool) -> None:
        self.is_session = is_session
        self.wanted: dict[str, Any] = {}
        self.caller: object = None
        self._meta: dict[str, Any] = {}
        self._back = back
        self._heard = heard
        self._changed = changed
        self._policy = policy
        self._is_open = False
        self._pending: dict[Key, None] = {}
        self._telling: asyncio.Task[None] | None = None

    async def notify(self, message: Message) -> None:
        """Pass on what the server says to this listener by itself."""
        if message.method == ACKNOWLEDGED:
            await self._acknowledged(message)
            return
        if self.admits(message):
            await self._back.notify(message)

    async def request(self, message: Message) -> Message:
        """Pass on what the server asks."""
        return await self._back.request(message)

    def admits(self, told: Message) -> bool:
        """Take what the server is about to tell this listener by itself; False where it must not be told."""
        key = key_of(told)
        if key is None:
            return True
        if not self._may_hear(key):
            return False
        self._pending.pop(key, None)
        self._heard(told, self)
        return True

    def open(self) -> None:
        """Begin to tell: the listener knows by now that it listens."""
        self._is_open = True
        self._changed()
        self._tell_soon()

    def want(self, wanted: dict[str, Any]) -> None:
        """Listen to this from now on."""
        self.wanted = wanted
        if self._is_open:
            self._changed()

    def close(self) -> None:
        """Stop telling. May be called twice."""
        self._is_open = False
        self._pending.clear()
        if self._telling is not None:
            self._telling.cancel()

    def hear(self, key: Key) -> bool:
        """Take a change that was announced elsewhere; False where this listener does not listen to that."""
        if not changes.is_wanted(announcement(key), self.wanted) or not self._may_hear(key):
            return False
        self._pending[key] = None
        if len(self._pending) > MAX_PENDING:
            self._pending = dict.fromkeys(every_key(self.wanted))
        self._tell_soon()
        return True

    def look_again(self) -> None:
        """Tell the listener of everything it listens to: something may have been missed."""
        for key in every_key(self.wanted):
            self.hear(key)

    @property
    def uris(self) -> list[str]:
        """The resources it subscribed to."""
        found = cast("Sequence[object]", self.wanted.get("resourceSubscriptions") or ())
        return [uri for uri in found if isinstance(uri, str)]

    async def _acknowledged(self, told: Message) -> None:
        params = told.params or {}
        # Before it is passed on: what is announced from here on is waiting behind it.
        self.wanted = members(params.get("notifications"))
        subscription = members(params.get("_meta")).get(classify.META_SUBSCRIPTION)
        self._meta = {classify.META_SUBSCRIPTION: subscription}
        await self._back.notify(told)
        self.open()

    def _may_hear(self, key: Key) -> bool:
        uri = key[1]
        caller = self.caller if isinstance(self.caller, Principal) else ANONYMOUS
        return uri is None or self._policy.sees(caller, "resource", uri)

    def _tell_soon(self) -> None:
        if self._is_open and self._pending and self._telling is None:
            self._telling = asyncio.get_running_loop().create_task(self._tell(), name="news-tell")

    async def _tell(self) -> None:
        try:
            while self._pending and self._is_open:
                key = next(iter(self._pending))
                del self._pending[key]
                await self._back.notify(self._addressed(key))
        except PortsideError as error:
            _log.warning("a listener could not be told of a change: %s", error.message)
        finally:
            self._telling = None

    def _addressed(self, key: Key) -> Message:
        told = announcement(key)
        if not self._meta:
            return told
        return message.notification(told.method, {**(told.params or {}), "_meta": self._meta})


class CallEar:
    """The channel back of one call of a listener: servers of the legacy era may announce on it as well."""

    __slots__ = ("_back", "_ear")

    def __init__(self, ear: Ear, back: Back) -> None:
        self._ear = ear
        self._back = back

    async def notify(self, message: Message) -> None:
        """Pass on what the server says during the call."""
        if self._ear.admits(message):
            await self._back.notify(message)

    async def request(self, message: Message) -> Message:
        """Pass on what the server asks."""
        return await self._back.request(message)


def every_key(wanted: dict[str, Any]) -> list[Key]:
    """Return every change a listener asks for, as if all of it had changed."""
    return [key for key in map(key_of, changes.every_change(wanted)) if key is not None]
