"""Both eras in front of any host: what it does not speak itself is translated, call by call."""

import asyncio
from dataclasses import replace
from typing import Final

from portside.clock import Clock, SystemClock
from portside.hosting.around import AroundHost
from portside.hosting.base import Back, Description, Host, Link
from portside.hosting.telling import Telling
from portside.hosting.translated.leases import Limits
from portside.hosting.translated.legacy import LegacyOverModern
from portside.hosting.translated.listed import SILENT, CheckedLink, ListedTools, Overhearing, listed_by
from portside.hosting.translated.modern import DEFAULT, ModernOverLegacy
from portside.wire import changes
from portside.wire.message import Message
from portside.wire.revisions import Era
from portside.wire.session import SessionRecord

ERAS: Final[tuple[Era, ...]] = ("modern", "legacy")

_TOOLS_CHANGED: Final = "notifications/tools/list_changed"


def both_eras(host: Host, limits: Limits = DEFAULT, clock: Clock | None = None) -> Host:
    """Return a host that serves both eras: `host` itself where it does and is of this process.

    May be called before `host` has started: which eras it speaks is looked at whenever a link is opened. Until it
    knows, its description names no era.
    """
    description = host.description
    if set(description.eras) == set(ERAS) and not description.is_foreign:
        return host
    return BothEras(host, limits, clock or SystemClock())


class BothEras(AroundHost):
    """A host that has the era its server lacks translated, and checks mirrored headers for servers that do not."""

    def __init__(self, host: Host, limits: Limits, clock: Clock) -> None:
        super().__init__(host)
        self._limits = limits
        self._clock = clock
        self._modern: Link | None = None
        self._lists: ListedTools | None = None
        self._telling: list[Telling] = []
        self._opening = asyncio.Lock()

    @property
    def description(self) -> Description:
        """What the server is; the eras it speaks itself in `eras`, the others in `translated`."""
        found = self._host.description
        return replace(found, translated=tuple(era for era in ERAS if era not in found.eras) if found.eras else ())

    async def close(self) -> None:
        modern, self._modern = self._modern, None
        telling, self._telling = self._telling, []
        for one in telling:
            await one.close()
        if modern is not None:
            await modern.close()
        await self._host.close()

    async def open(self, session: SessionRecord | None, back: Back) -> Link:
        """Return a link of either era; the channel of stateless exchanges is told what is announced on leased links.

        Raises HostGone.
        """
        if session is not None and "legacy" in self._host.description.eras:
            return await self._host.open(session, Overhearing(back, self._hear))
        modern, lists = await self._shared()
        if session is None:
            described = self._host.description
            if "modern" not in described.eras:
                self._telling.append(Telling(back))
            # A server object of this process that speaks the modern era compares mirrored headers itself.
            is_checked = "modern" not in described.eras or described.is_foreign
            return CheckedLink(modern, lists, self._hear) if is_checked else modern
        return LegacyOverModern(modern, session, back, listed=lists, heard=self._hear)

    async def _shared(self) -> tuple[Link, ListedTools]:
        """Return the one link of all modern exchanges, and what is known of its tools."""
        async with self._opening:
            if self._modern is None or self._lists is None:
                if "modern" in self._host.description.eras:
                    self._modern = await self._host.open(None, SILENT)
                else:
                    # A link to an object of this process costs nothing: none is used twice, so none remembers a caller.
                    limits = self._limits if self._host.description.is_foreign else replace(self._limits, idle=0)
                    self._modern = ModernOverLegacy(self._open_legacy, limits, self._hear_leased)
                self._lists = ListedTools(listed_by(self._modern), self._clock)
            return self._modern, self._lists

    async def _open_legacy(self, session: SessionRecord, back: Back) -> Link:
        return await self._host.open(session, back)

    def _hear_leased(self, told: Message, principal: str | None) -> None:
        self._hear(told)
        # Said to whoever has the link by an object of this process; by a child, of itself.
        if told.method == changes.UPDATED or self._host.description.is_single:
            for telling in self._telling:
                telling.tell(told)

    def _hear(self, told: Message) -> None:
        if told.method == _TOOLS_CHANGED and self._lists is not None:
            self._lists.forget()
