"""A host and its links, every listener of which also hears what is announced to others, here and at other replicas."""

import logging
from types import CoroutineType
from typing import Any, Final

from portside.errors import NoBackChannel
from portside.gateway.ears import CallEar, Ear
from portside.gateway.news import Announcements
from portside.hosting.around import AroundHost, AroundLink
from portside.hosting.base import Back, Call, Description, Host, Link
from portside.wire import changes, methods
from portside.wire.message import Message
from portside.wire.session import SessionRecord

EVERYTHING: Final = {
    "toolsListChanged": True,
    "promptsListChanged": True,
    "resourcesListChanged": True,
}
"""A subscription's wish for every list."""

_log = logging.getLogger("portside.gateway")


def is_elsewhere(description: Description) -> bool:
    """Say whether the server is one for all replicas, so that each of them hears it by itself."""
    return description.is_foreign and not description.is_single


class ServerChannel:
    """The channel a server's own announcements come on, which are made to no listener in particular."""

    def __init__(self, announcements: Announcements) -> None:
        self._announcements = announcements

    async def notify(self, message: Message) -> None:
        """Have everybody told of an announcement; anything else concerns nobody."""
        if message.method in changes.CHANGES:
            self._announcements.announced(message)
        else:
            _log.debug("dropped %s: modern exchanges have no connection", message.method)

    async def request(self, message: Message) -> Message:
        """Refuse: nobody is there. Raises NoBackChannel."""
        raise NoBackChannel(f"{message.method!r} belongs to no call: there is nobody to ask")


class Judge:
    """Decides which of the announcements that a listener was made are the whole server's.

    An update names its resource, and so concerns whoever subscribed to that. That a list has changed concerns everybody
    where the server says so on a subscription, or is a process of its own; said by an object of this process to one
    session, it is that session's own matter: such servers show each session tools of its own.
    """

    def __init__(self, announcements: Announcements, description: Description) -> None:
        self._announcements = announcements
        self._is_own_process = description.is_single
        self._subscribes = "modern" in description.eras
        self._announces = description.announces

    def heard(self, told: Message, ear: Ear) -> None:
        """Take what the server says to one listener."""
        if ear.is_session:
            is_common = told.method == changes.UPDATED or self._is_own_process
        else:
            # What a server announces on a channel of its own is taken from there.
            is_common = not self._announces and (
                told.method == changes.UPDATED or self._is_own_process or self._subscribes
            )
        self._announcements.announced(told, ear, is_common=is_common)


class AnnouncedLink(AroundLink):
    """A link for modern exchanges whose subscriptions hear all announcements."""

    def __init__(self, link: Link, announcements: Announcements, judge: Judge) -> None:
        super().__init__(link)
        self._announcements = announcements
        self._judge = judge

    def request(self, message: Message, back: Back, call: Call) -> "CoroutineType[Any, Any, Message]":
        if message.method == methods.LISTEN:
            return self._listen(message, back, call)
        return self._link.request(message, back, call)

    async def _listen(self, asked: Message, back: Back, call: Call) -> Message:
        ear = self._announcements.listen(back, self._judge.heard, is_session=False)
        ear.caller = call.caller
        try:
            return await self._link.request(asked, ear, call)
        finally:
            self._announcements.leave(ear)


class AnnouncedSession(AroundLink):
    """The link of one legacy session, which listens to what its server said it announces, and to its own resources."""

    def __init__(self, link: Link, announcements: Announcements, ear: Ear, record: SessionRecord) -> None:
        super().__init__(link)
        self._announcements = announcements
        self._ear = ear
        self._lists: dict[str, Any] = {}
        self._uris = dict.fromkeys(sorted(record.subscriptions))

    async def request(self, message: Message, back: Back, call: Call) -> Message:
        self._ear.caller = call.caller
        reply = await self._link.request(message, CallEar(self._ear, back), call)
        if message.method in methods.LEGACY_ONLY and reply.error is None:
            self._learn(message, reply)
        return reply

    async def notify(self, message: Message, call: Call) -> None:
        await super().notify(message, call)
        if message.method == "notifications/initialized":
            self._ear.open()

    async def close(self) -> None:
        self._announcements.leave(self._ear)
        await self._link.close()

    def _learn(self, asked: Message, reply: Message) -> None:
        uri = (asked.params or {}).get("uri")
        if asked.method == "initialize":
            self._lists = changes.offered(EVERYTHING, (reply.result or {}).get("capabilities"))
        elif asked.method == "resources/subscribe" and isinstance(uri, str):
            self._uris[uri] = None
        elif asked.method == "resources/unsubscribe" and isinstance(uri, str):
            self._uris.pop(uri, None)
        else:
            return
        self._ear.want({**self._lists, "resourceSubscriptions": list(self._uris)} if self._uris else self._lists)


class AnnouncedHost(AroundHost):
    """A host whose legacy sessions hear all announcements."""

    def __init__(self, host: Host, announcements: Announcements, judge: Judge) -> None:
        super().__init__(host)
        self._announcements = announcements
        self._judge = judge

    async def open(self, session: SessionRecord | None, back: Back) -> Link:
        """Return a link whose announcements are heard. Raises HostGone."""
        if session is None:
            return AnnouncedLink(await self._host.open(None, back), self._announcements, self._judge)
        ear = self._announcements.listen(back, self._judge.heard, is_session=True)
        try:
            link = await self._host.open(session, ear)
        except BaseException:
            self._announcements.leave(ear)
            raise
        return AnnouncedSession(link, self._announcements, ear, session)


def announced(host: Host, link: Link, announcements: Announcements) -> tuple[Host, Link]:
    """Return host and link with every listener connected; as they are where each replica hears the server by itself."""
    if is_elsewhere(host.description):
        return host, link
    judge = Judge(announcements, host.description)
    return AnnouncedHost(host, announcements, judge), AnnouncedLink(link, announcements, judge)
