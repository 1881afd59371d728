"""Announcements of the hosted server, for everybody who listens: here at once, at the other replicas through `News`."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from portside.auth.scopes import Policy
from portside.errors import StateUnavailable
from portside.gateway.bulletins import Bulletin, Key, Press, Told, Wants, announcement, key_of
from portside.gateway.ears import Ear
from portside.hosting.base import Back
from portside.state.base import News
from portside.wire import changes
from portside.wire.message import Message

GATHER_S: Final = 0.05
"""How long listeners that hear a server by themselves are given to hear what another one has heard already."""

WAIT_MS: Final = 5000
PAUSES_S: Final = (0.1, 0.25, 0.5, 1.0)
MAX_WAITING: Final = 1000
"""Changes that wait for shared state to come back; past it everybody is told to look at everything."""

CLOSE_S: Final = 1.0

LISTS: Final = tuple((method, None) for method in changes.CHANGES if method != changes.UPDATED)
_EVERYBODY: Final = Policy()

_log = logging.getLogger("portside.gateway")

Hook = Callable[[Message], None]


@dataclass(slots=True)
class _Gathered:
    """One change: which listeners the server told by itself, and whether it concerns the others."""

    ears: set[Ear] = field(default_factory=lambda: set[Ear]())
    is_common: bool = False


class Announcements:
    """This replica's end of the news.

    What the server announces is gathered for a moment, since it may tell several listeners one after the other: then
    the listeners it did not tell are told, and it is published once. What other replicas publish is told to every
    listener here. Local listeners hear on while shared state is away; what they heard is published when it is back.
    """

    def __init__(self, news: News | None, holder: str, sealing: Sequence[bytes], policy: Policy = _EVERYBODY) -> None:
        self.ears: set[Ear] = set()
        self.hooks: list[Hook] = []
        self.on_wants: Callable[[str, Wants], None] | None = None
        self.on_changed: Callable[[], None] | None = None
        self._news = news
        self._press = Press(holder, sealing) if news is not None else None
        self._policy = policy
        self._gathering: dict[Key, _Gathered] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._waiting: dict[Key, None] = {}
        self._is_too_much = False
        self._wants: Wants | None = None
        self._stirred = asyncio.Event()
        self._published = asyncio.Event()
        self._published.set()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_closed = False

    async def open(self) -> None:
        """Begin to read and to publish. Where shared state is away, it begins with what is published after that."""
        if self._news is not None and self._press is not None and not self._tasks:
            place = await self._begin(self._news)
            self._tasks = [
                asyncio.create_task(self._read(self._news, self._press, place), name="news-read"),
                asyncio.create_task(self._publish(self._news, self._press), name="news-publish"),
            ]

    async def close(self) -> None:
        """Publish what is still gathered, within CLOSE_S, and stop. May be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        for key in list(self._timers):
            self._tell(key)
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._published.wait()
        except TimeoutError:
            _log.warning("the last announcements could not be published before the end")
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for ear in list(self.ears):
            self.leave(ear)

    @property
    def is_behind(self) -> bool:
        """Whether something that was announced here is not published yet."""
        return not self._published.is_set()

    # -- listeners ------------------------------------------------------------------------------

    def listen(self, back: Back, heard: Callable[[Message, Ear], None], *, is_session: bool) -> Ear:
        """Return a listener, to be given to its server as the channel back; `leave` ends it."""
        ear = Ear(back, heard, self._listeners_changed, self._policy, is_session=is_session)
        self.ears.add(ear)
        return ear

    def leave(self, ear: Ear) -> None:
        """Forget a listener. May be called twice."""
        self.ears.discard(ear)
        ear.close()
        self._listeners_changed()

    def _listeners_changed(self) -> None:
        if self.on_changed is not None and not self._is_closed:
            self.on_changed()

    # -- what the server of this replica announces ----------------------------------------------

    def announced(self, told: Message, ear: Ear | None = None, *, is_common: bool = True) -> None:
        """Take an announcement of the server; `ear` is the listener it was made to, if it was made to one.

        One that is not common concerns nobody else, but who was told by it need not be told the same again.
        """
        key = key_of(told)
        if key is None or self._is_closed:
            return
        gathered = self._gathering.get(key)
        if gathered is None:
            gathered = self._gathering[key] = _Gathered()
            self._timers[key] = asyncio.get_running_loop().call_later(GATHER_S, self._tell, key)
        gathered.is_common = gathered.is_common or is_common
        if ear is not None:
            gathered.ears.add(ear)

    def _tell(self, key: Key) -> None:
        self._timers.pop(key).cancel()
        gathered = self._gathering.pop(key)
        if not gathered.is_common:
            return
        self._tell_here([key], but=gathered.ears)
        if not self._tasks:
            return
        self._waiting[key] = None
        if len(self._waiting) > MAX_WAITING:
            self._waiting.clear()
            self._is_too_much = True
        self._published.clear()
        self._stirred.set()

    def publish_wants(self, wants: Wants) -> None:
        """Tell the other replicas what is listened to here; the newest wish is what counts."""
        asks = wants.is_asking or (self._wants is not None and self._wants.is_asking)
        self._wants = Wants(wants.uris, asks)
        self._stirred.set()

    async def _publish(self, news: News, press: Press) -> None:
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            while bulletin := self._next():
                await _published(news, press.seal(bulletin))
            self._published.set()

    def _next(self) -> Bulletin | None:
        """Return what is to be published next and take it out of what waits."""
        if self._waiting or self._is_too_much:
            bulletin = Told(list(self._waiting), self._is_too_much)
            self._waiting.clear()
            self._is_too_much = False
            return bulletin
        wants, self._wants = self._wants, None
        return wants

    # -- what other replicas announce -----------------------------------------------------------

    async def _begin(self, news: News) -> str | None:
        try:
            return (await news.receive(None, wait_ms=0))[0]
        except StateUnavailable as error:
            _log.warning("announcements of other replicas are not heard yet: %s", error.message)
            return None

    async def _read(self, news: News, press: Press, place: str | None) -> None:
        """Hear the news for ever; after an interruption everybody looks again, since some may be lost."""
        failures = 0 if place is not None else 1
        while True:
            try:
                place, sealed = await news.receive(place, wait_ms=WAIT_MS)
            except StateUnavailable as error:
                if failures == 0:
                    _log.warning("announcements of other replicas are not heard for now: %s", error.message)
                await asyncio.sleep(PAUSES_S[min(failures, len(PAUSES_S) - 1)])
                failures += 1
                continue
            self._take([found for found in map(press.open, sealed) if found is not None])
            if failures or not press.is_gapless:
                self._look_again("shared state was away" if failures else "some were published and not received")
            failures, press.is_gapless = 0, True

    def _take(self, bulletins: Iterable[tuple[str, Bulletin]]) -> None:
        keys: dict[Key, None] = {}
        for sender, bulletin in bulletins:
            if isinstance(bulletin, Wants):
                if self.on_wants is not None:
                    self.on_wants(sender, bulletin)
            elif bulletin.is_all:
                self._look_again("more was announced than could be kept")
            else:
                keys |= dict.fromkeys(key for key in bulletin.changes if key[0] in changes.CHANGES)
        self._tell_here(keys)

    def _look_again(self, why: str) -> None:
        _log.info("announcements may have been missed: %s; every listener is told to look again", why)
        for told in map(announcement, LISTS):
            for hook in self.hooks:
                hook(told)
        for ear in list(self.ears):
            ear.look_again()
        self._listeners_changed()

    def _tell_here(self, keys: Iterable[Key], but: set[Ear] | None = None) -> None:
        for key in keys:
            told = announcement(key)
            for hook in self.hooks:
                hook(told)
            for ear in list(self.ears):
                if but is None or ear not in but:
                    ear.hear(key)


async def _published(news: News, sealed: bytes) -> None:
    """Publish until shared state says that it has it; where it had it before, readers know that by the number."""
    failures = 0
    while True:
        try:
            await news.publish(sealed)
            return
        except StateUnavailable as error:
            _log.debug("an announcement waits for shared state: %s", error.message)
            await asyncio.sleep(PAUSES_S[min(failures, len(PAUSES_S) - 1)])
            failures += 1
