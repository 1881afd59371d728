"""A legacy session of this replica's own, subscribed to what listeners elsewhere subscribed to."""

import logging
from collections.abc import Callable
from typing import Any, Final

from portside.clock import Clock
from portside.errors import HostGone
from portside.hosting.base import Back, Call, Host, Link
from portside.version import VERSION
from portside.wire import message, revisions
from portside.wire.message import Message
from portside.wire.session import SessionRecord

_HELLO: Final[dict[str, Any]] = {
    "protocolVersion": revisions.LATEST_LEGACY,
    "capabilities": {},
    "clientInfo": {"name": "portside", "version": VERSION},
}

_log = logging.getLogger("portside.gateway")


class WatchingSession:
    """A session that exists while there are resources to watch, so that a child runs for it only then."""

    def __init__(self, host: Host, back: Back, clock: Clock, new_id: Callable[[], str]) -> None:
        self._host = host
        self._back = back
        self._clock = clock
        self._new_id = new_id
        self._link: Link | None = None
        self._subscribed: set[str] = set()
        self._call = Call("legacy", revisions.LATEST_LEGACY, capabilities={}, client_info=_HELLO["clientInfo"])

    async def want(self, filter: dict[str, Any]) -> dict[str, Any]:
        """Watch these resources from now on, and return what the server granted of it. Raises HostGone.

        Called again with the same, it sees to it that the server is still there.
        """
        wanted = set[str](filter.get("resourceSubscriptions") or ())
        if not wanted:
            await self.close()
            return {}
        try:
            link = self._link
            if link is None:
                link = await self._open()
            else:
                await self._ask(link, "ping")
            for uri in sorted(self._subscribed - wanted):
                await self._ask(link, "resources/unsubscribe", {"uri": uri})
                self._subscribed.discard(uri)
            for uri in sorted(wanted - self._subscribed):
                reply = await self._ask(link, "resources/subscribe", {"uri": uri})
                if reply.error is None:
                    self._subscribed.add(uri)
        except HostGone:
            await self.close()
            raise
        return {"resourceSubscriptions": sorted(self._subscribed)}

    async def close(self) -> None:
        """End the session. May be called twice."""
        link, self._link = self._link, None
        self._subscribed.clear()
        if link is not None:
            await link.close()

    async def _open(self) -> Link:
        record = SessionRecord(self._new_id(), revisions.LATEST_LEGACY, dict(_HELLO), None, self._clock.now())
        self._link = link = await self._host.open(record, self._back)
        reply = await self._ask(link, "initialize", dict(_HELLO))
        if reply.error is not None:
            raise HostGone(f"the server refused a session that watches it: {reply.error.get('message')}")
        await link.notify(message.notification("notifications/initialized"), self._call)
        return link

    async def _ask(self, link: Link, method: str, params: dict[str, Any] | None = None) -> Message:
        return await link.request(message.request(self._new_id(), method, params), self._back, self._call)
