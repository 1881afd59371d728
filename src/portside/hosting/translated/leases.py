"""Legacy links lent to modern calls: each to one call at a time, kept for the next one of the same client."""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from portside.errors import HostBusy, HostGone
from portside.hosting.base import Back, Call, Link
from portside.hosting.translated.borrowed import Borrowed, Heard
from portside.wire import message, revisions, translate
from portside.wire.message import Message
from portside.wire.session import SessionRecord
from portside.wire.translate import members

Open = Callable[[SessionRecord, Back], Awaitable[Link]]
_CLIENT: Final = {"name": "portside", "version": "0"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What translation for modern clients may hold and how long it waits; times in seconds.

    `leases` counts links in use or kept, `idle` those kept for later and for `idle_s`, `watchers` those that hear
    announcements, one for each principal that listens. A call waits `wait_s` for a lease, and `url_s` for word that a
    URL elicitation is completed; a watcher is asked every `ping_s` whether its server is still there.
    """

    leases: int = 64
    idle: int = 8
    watchers: int = 64
    wait_s: float = 10.0
    idle_s: float = 300.0
    url_s: float = 10.0
    ping_s: float = 30.0


@dataclass(slots=True, eq=False)
class Lease:
    """One legacy link that has shaken hands: with these capabilities, for this principal."""

    key: bytes
    link: Link
    borrowed: Borrowed
    initialized: dict[str, Any]
    may_be_kept: bool = True
    is_kept: bool = False
    log_level: str | None = None
    expiry: asyncio.TimerHandle | None = field(default=None, repr=False)

    def call(self, call: Call) -> Call:
        """Return a modern caller's call as the server behind this link sees it."""
        revision = self.initialized.get("protocolVersion")
        return _legacy(call, revision if isinstance(revision, str) else revisions.LATEST_LEGACY)


class Leases:
    """The legacy links of one host that modern calls use."""

    def __init__(self, open: Open, limits: Limits, on_change: Heard) -> None:
        self._open = open
        self._limits = limits
        self._on_change = on_change
        self._idle: dict[Lease, None] = {}  # the one used least recently first
        self._used = 0
        self._places = asyncio.Semaphore(limits.leases)
        self._ids = itertools.count(1)
        self._closing: set[asyncio.Task[None]] = set()

    def id(self, purpose: str) -> str:
        """Return an id for a request that nobody but us sends."""
        return f"{purpose}-{next(self._ids)}"

    async def take(self, call: Call, *, is_fresh: bool = False) -> Lease:
        """Return a link for one call alone, until `give_back`. Raises HostBusy if none is free in time, HostGone."""
        try:
            async with asyncio.timeout(self._limits.wait_s):
                await self._places.acquire()
        except TimeoutError:
            limit, wait_s = self._limits.leases, self._limits.wait_s
            raise HostBusy(f"all {limit} links to the hosted server were in use for {wait_s:g} s") from None
        self._used += 1
        try:
            key = lease_key(call)
            kept = None if is_fresh else self._take_kept(key)
            if kept is not None:
                return kept
            if self._used + len(self._idle) > self._limits.leases:
                await self._close_oldest()
            return await self.shake_hands(key, call, translate.legacy_capabilities(call.capabilities))
        except BaseException:
            self._release()
            raise

    def give_back(self, lease: Lease, *, is_whole: bool) -> None:
        """Keep a lease for the next call, or close it: after a call that failed nobody knows what is still to come.

        Who gives it back has an answer for somebody and does not wait for a server's end, which may take seconds; the
        place stays taken until then.
        """
        lease.borrowed.back = None
        is_kept = is_whole and lease.may_be_kept and self._limits.idle > 0
        ended = self._keep(lease) if is_kept else lease
        if ended is None:
            self._release()
        else:
            self._begin_to_close(ended).add_done_callback(lambda _: self._release())

    def _keep(self, lease: Lease) -> Lease | None:
        """Keep a lease; return another one where that makes one too many."""
        lease.is_kept = True
        lease.expiry = asyncio.get_running_loop().call_later(self._limits.idle_s, self._expire, lease)
        self._idle[lease] = None
        return self._forget_oldest() if len(self._idle) > self._limits.idle else None

    async def shake_hands(self, key: bytes, call: Call, capabilities: dict[str, Any]) -> Lease:
        """Open a link and take the server through the handshake as this caller. Raises HostGone."""
        params: dict[str, Any] = {
            "protocolVersion": revisions.LATEST_LEGACY,
            "capabilities": capabilities,
            "clientInfo": members(call.client_info) or dict(_CLIENT),
        }
        record = SessionRecord(self.id("lease"), revisions.LATEST_LEGACY, params, call.principal, 0.0)
        borrowed = Borrowed(call.principal, capabilities, self._on_change)
        link = await self._open(record, borrowed)
        # The server keeps the roots it was told of; where nobody authenticates, the next caller may be somebody else.
        may_be_kept = call.principal is not None or "roots" not in capabilities
        lease = Lease(key, link, borrowed, {}, may_be_kept)
        try:
            hello = message.request(self.id("hello"), "initialize", params)
            reply = await link.request(hello, borrowed, _legacy(call, revisions.LATEST_LEGACY))
            lease.initialized = _accepted(reply)
            await link.notify(message.notification("notifications/initialized"), lease.call(call))
        except BaseException:
            await self.end(lease)
            raise
        return lease

    async def end(self, lease: Lease) -> None:
        """Close a lease's link, also where whoever asks for it is cancelled meanwhile."""
        await asyncio.shield(self._begin_to_close(lease))

    async def close(self) -> None:
        """Close every link that is kept."""
        while self._idle:
            await self._close_oldest()
        if self._closing:
            await asyncio.wait(self._closing)

    def _take_kept(self, key: bytes) -> Lease | None:
        for lease in reversed(self._idle):
            if lease.key == key:
                self._forget(lease)
                return lease
        return None

    def _forget(self, lease: Lease) -> None:
        del self._idle[lease]
        if lease.expiry is not None:
            lease.expiry.cancel()

    def _forget_oldest(self) -> Lease:
        oldest = next(iter(self._idle))
        self._forget(oldest)
        return oldest

    async def _close_oldest(self) -> None:
        if self._idle:
            await self.end(self._forget_oldest())

    def _expire(self, lease: Lease) -> None:
        if lease in self._idle:
            self._forget(lease)
            self._begin_to_close(lease)

    def _begin_to_close(self, lease: Lease) -> asyncio.Task[None]:
        closing = asyncio.get_running_loop().create_task(_close(lease.link), name="lease-close")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        return closing

    def _release(self) -> None:
        self._used -= 1
        self._places.release()


def lease_key(call: Call) -> bytes:
    """Return what two calls must share to use one link: the principal and what the handshake says of the client."""
    return msgspec.json.encode([call.principal, call.capabilities, call.client_info], order="sorted")


def _accepted(reply: Message) -> dict[str, Any]:
    """Return the `initialize` result. Raises HostGone where the handshake failed or ended on an unknown revision."""
    if reply.result is None:
        reason = (reply.error or {}).get("message", "no result")
        raise HostGone(f"the hosted server refused the handshake: {reason}")
    revision = reply.result.get("protocolVersion")
    if revision not in revisions.LEGACY:
        served = ", ".join(revisions.LEGACY)
        raise HostGone(f"the hosted server answered the handshake with revision {revision!r}, expected one of {served}")
    return reply.result


async def _close(link: Link) -> None:
    # A link that is gone already has nothing left to close.
    with contextlib.suppress(HostGone):
        await link.close()


def _legacy(call: Call, revision: str) -> Call:
    return replace(call, era="legacy", revision=revision, close_stream=None, close_standalone=None)
