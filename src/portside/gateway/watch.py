"""This replica's own subscription to its server, for what others listen to: a server tells only those who asked it."""

import asyncio
import logging
from typing import Any, Final

from portside.clock import Clock
from portside.errors import HostGone
from portside.gateway.announced import EVERYTHING, ServerChannel, is_elsewhere
from portside.gateway.bulletins import Wants
from portside.gateway.news import Announcements
from portside.gateway.watching import WatchingSession
from portside.hosting.base import Back, Call, Description, Host, Link
from portside.hosting.translated.listening import MAX_URIS
from portside.hosting.translated.subscribed import NotAcknowledged, Subscribed
from portside.version import VERSION
from portside.wire import message, methods, revisions, translate_legacy
from portside.wire.message import Message

SETTLE_S: Final = 0.05
"""How long wishes are collected before the server, or the other replicas, are told of them."""

REPEAT_S: Final = 60.0
EXPIRE_S: Final = 150.0
"""How long another replica's wishes hold; it repeats them."""

RETRY_S: Final = 5.0

_CLIENT: Final = {"name": "portside", "version": VERSION}

_log = logging.getLogger("portside.gateway")


def is_needed(description: Description) -> bool:
    """Say whether a server tells only those who subscribed with its own process."""
    return not is_elsewhere(description) and not description.announces


class Watch:
    """Listens to the server of this replica for the listeners of the others.

    It listens to every list where the server has subscriptions, and to the resources that listeners of other replicas
    subscribed to: they tell each other which. `host` and `link`, its modern one, are those before anybody's
    announcements are heard on them. It asks in nobody's name; a resource that a server then refuses to announce is not
    announced to other replicas.
    """

    def __init__(self, announcements: Announcements, host: Host, link: Link, clock: Clock, holder: str) -> None:
        eras = host.description.eras
        back = ServerChannel(announcements)
        self._announcements = announcements
        self._link = link
        self._lists: dict[str, Any] = dict(EVERYTHING) if "modern" in eras else {}
        self._clock = clock
        self._holder = holder
        self._subscribed = Subscribed(self._listen, back) if "modern" in eras else None
        self._session = WatchingSession(host, back, clock, self._id) if "legacy" in eras else None
        self._wanted: dict[str, tuple[float, frozenset[str]]] = {}
        self._published: frozenset[str] = frozenset()
        self._is_asked = False
        self._here = asyncio.Event()
        self._there = asyncio.Event()
        self._opened = 0
        self._tasks: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Begin to listen, and ask the other replicas what theirs listen to; `announcements` must be open."""
        self._announcements.on_wants = self._take
        self._announcements.on_changed = self._here.set
        self._announcements.publish_wants(Wants([], is_asking=True))
        self._there.set()
        self._tasks = [
            asyncio.create_task(self._tell_wishes(), name="watch-wishes"),
            asyncio.create_task(self._follow(), name="watch-follow"),
        ]

    async def close(self) -> None:
        """Stop listening. May be called twice."""
        self._announcements.on_wants = self._announcements.on_changed = None
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._subscribed is not None:
            await self._subscribed.close()
        if self._session is not None:
            await self._session.close()

    # -- what listeners here listen to ----------------------------------------------------------

    async def _tell_wishes(self) -> None:
        """Tell the other replicas whenever it changes, when one asks, and again and again."""
        while True:
            is_due = not await _set_within(self._here, REPEAT_S)
            await asyncio.sleep(SETTLE_S)
            self._here.clear()
            wished = frozenset(uri for ear in self._announcements.ears for uri in ear.uris)
            if wished != self._published or self._is_asked or (is_due and wished):
                self._published, self._is_asked = wished, False
                self._announcements.publish_wants(Wants(sorted(wished)))
            if is_due:
                self._expire()

    # -- what listeners elsewhere listen to -----------------------------------------------------

    def _take(self, sender: str, wants: Wants) -> None:
        if wants.is_asking:
            self._is_asked = True
            self._here.set()
        self._wanted[sender] = self._clock.monotonic() + EXPIRE_S, frozenset(wants.uris)
        self._there.set()

    def _expire(self) -> None:
        now = self._clock.monotonic()
        kept = {sender: wish for sender, wish in self._wanted.items() if wish[0] > now}
        if len(kept) < len(self._wanted):
            self._wanted = kept
            self._there.set()

    async def _follow(self) -> None:
        """Listen to what is wished for, however often that changes and however often the server is gone."""
        current: dict[str, Any] = {}
        while True:
            is_due = not await _set_within(self._there, REPEAT_S)
            await asyncio.sleep(SETTLE_S)
            self._there.clear()
            wished = self._filter()
            # A session says nothing of its end by itself; a subscription does, and is opened anew.
            if wished == current and not (is_due and self._subscribed is None):
                continue
            try:
                await self._want(wished)
                current = wished
            except HostGone as error:
                _log.debug("the server cannot be listened to now: %s", error.message)
                await _set_within(self._there, RETRY_S)
                self._there.set()

    async def _want(self, wished: dict[str, Any]) -> None:
        if self._subscribed is not None:
            try:
                await self._subscribed.want(wished)
                return
            except NotAcknowledged as error:
                _log.info("the server takes no subscription of this replica's own: %s", error.message)
                if self._session is not None:
                    self._subscribed = None
        if self._session is not None:
            await self._session.want(wished)

    def _filter(self) -> dict[str, Any]:
        uris = sorted({uri for _, wished in self._wanted.values() for uri in wished})
        if len(uris) > MAX_URIS:
            _log.warning("other replicas listen to %d resources; the first %d are watched here", len(uris), MAX_URIS)
        return {**self._lists, "resourceSubscriptions": uris[:MAX_URIS]} if uris else dict(self._lists)

    def _id(self) -> str:
        self._opened += 1
        return f"watch-{self._holder}-{self._opened}"

    async def _listen(self, filter: dict[str, Any], back: Back) -> Message:
        params = translate_legacy.modern_params({"notifications": filter}, {}, _CLIENT, None)
        asked = message.request(self._id(), methods.LISTEN, params)
        headers = translate_legacy.modern_headers((), asked, None, ())
        call = Call("modern", revisions.LATEST_MODERN, headers=headers, capabilities={}, client_info=_CLIENT)
        return await self._link.request(asked, back, call)


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
