"""A server that only knows the handshake, for modern clients: each call on a legacy link leased to it alone.

Two questions at once on one link would carry nothing that says whose they are; so a link serves one call until that
call has ended, and is then kept for the next one of the same client kind.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, cast

import msgspec

from portside.errors import HostGone, NoBackChannel
from portside.hosting.base import Back, Call, Link
from portside.wire import classify, message, methods, refusal, revisions, translate
from portside.wire.message import Message
from portside.wire.session import SessionRecord

MAX_LEASES: Final = 64
MAX_IDLE: Final = 8
"""How many links may be in use at once, and how many are kept for later."""

MAX_BACKLOG: Final = 1024

Open = Callable[[SessionRecord, Back], Awaitable[Link]]

_CHANGES: Final = {
    "notifications/tools/list_changed": "toolsListChanged",
    "notifications/prompts/list_changed": "promptsListChanged",
    "notifications/resources/list_changed": "resourcesListChanged",
}
_CLIENT: Final = {"name": "portside", "version": "0"}


class Borrowed:
    """The channel back of a leased link: to whoever holds the lease."""

    def __init__(self) -> None:
        self.back: Back | None = None
        self.wants_log = False

    async def notify(self, message: Message) -> None:
        """Pass a notification to the call in progress; log messages only where it asked for them."""
        if self.back is not None and (self.wants_log or message.method != "notifications/message"):
            await self.back.notify(message)

    async def request(self, message: Message) -> Message:
        """Ask the client of the call in progress."""
        if self.back is None:
            raise NoBackChannel(f"{message.method!r} belongs to no call")
        return await self.back.request(message)


@dataclass(slots=True)
class Lease:
    """One legacy link that has shaken hands: with these capabilities, for this principal."""

    key: bytes
    link: Link
    borrowed: Borrowed
    initialized: dict[str, Any]
    log_level: str | None = None


@dataclass(slots=True, eq=False)
class _Listener:
    wanted: dict[str, Any]
    events: asyncio.Queue[Message] = field(default_factory=lambda: asyncio.Queue[Message](MAX_BACKLOG))


class ModernOverLegacy:
    """A `Link` for modern exchanges in front of a host that opens legacy links."""

    def __init__(self, open: Open) -> None:
        self._open = open
        self._idle: dict[bytes, list[Lease]] = {}
        self._places = asyncio.Semaphore(MAX_LEASES)
        self._ids = itertools.count(1)
        self._watcher: Lease | None = None
        self._watching = asyncio.Lock()
        self._listeners: set[_Listener] = set()
        self._subscribed: dict[str, int] = {}

    def is_plain(self, message: Message) -> bool:
        """Never: the server may ask back in the middle of any call."""
        return False

    async def request(self, message: Message, back: Back, call: Call) -> Message:
        """Answer a modern request by a legacy call. Raises HostGone."""
        if message.method == methods.LISTEN:
            return await self._listen(message, back, call)
        async with self._places:
            lease = await self._lease(call)
            is_whole = False
            try:
                lease.borrowed.back = back
                reply = await self._ask(lease, message, call)
                is_whole = True
                return reply
            finally:
                lease.borrowed.back = None
                # After a cancelled or failed call nobody knows what the server is still about to say.
                await self._give_back(lease, is_whole)

    async def notify(self, message: Message, call: Call) -> None:
        """Drop it: the modern core protocol defines no notification a client may send over HTTP."""

    async def close(self) -> None:
        """Close every link that is kept."""
        leases = [lease for kept in self._idle.values() for lease in kept]
        self._idle.clear()
        if self._watcher is not None:
            leases.append(self._watcher)
            self._watcher = None
        for lease in leases:
            await lease.link.close()

    # -- calls ----------------------------------------------------------------------------------

    async def _ask(self, lease: Lease, asked: Message, call: Call) -> Message:
        server = translate.server_info(lease.initialized)
        if asked.method == "server/discover":
            return message.response(asked.id, translate.discovery(lease.initialized))
        if asked.method not in methods.BOTH:
            return message.failure(asked.id, refusal.METHOD_NOT_FOUND, "Method not found", asked.method)
        await self._set_log_level(lease, asked, call)
        legacy = message.request(cast("message.Id", asked.id), asked.method, translate.legacy_params(asked.params))
        reply = await lease.link.request(legacy, lease.borrowed, _legacy(call, lease))
        if reply.error is not None:
            return Message("response", id=asked.id, error=translate.modern_error(reply.error))
        return message.response(asked.id, translate.modern_result(asked.method, reply.result or {}, server))

    async def _set_log_level(self, lease: Lease, asked: Message, call: Call) -> None:
        """Let the server log as the caller wants it; without a wish nothing is passed on (MCP 2026-07-28, Logging)."""
        meta: object = (asked.params or {}).get("_meta")
        level = cast("dict[str, Any]", meta).get(classify.META_LOG_LEVEL) if isinstance(meta, dict) else None
        lease.borrowed.wants_log = isinstance(level, str)
        if isinstance(level, str) and level != lease.log_level and _has(lease, "logging"):
            told = message.request(f"log-{next(self._ids)}", "logging/setLevel", {"level": level})
            await lease.link.request(told, lease.borrowed, _legacy(call, lease))
            lease.log_level = level

    # -- leases ---------------------------------------------------------------------------------

    async def _lease(self, call: Call) -> Lease:
        key = msgspec.json.encode([call.principal, call.capabilities], order="sorted")
        kept = self._idle.get(key)
        if kept:
            lease = kept.pop()
            if not kept:
                del self._idle[key]
            return lease
        return await self._shake_hands(key, call)

    async def _shake_hands(self, key: bytes, call: Call) -> Lease:
        """Open a link and take the server through the handshake with this caller's capabilities. Raises HostGone."""
        params: dict[str, Any] = {
            "protocolVersion": revisions.LATEST_LEGACY,
            "capabilities": _object(call.capabilities) or {},
            "clientInfo": _object(call.client_info) or dict(_CLIENT),
        }
        record = SessionRecord(f"lease-{next(self._ids)}", revisions.LATEST_LEGACY, params, call.principal, 0.0)
        borrowed = Borrowed()
        link = await self._open(record, borrowed)
        try:
            hello = message.request(f"hello-{next(self._ids)}", "initialize", params)
            reply = await link.request(hello, borrowed, _handshake(call, revisions.LATEST_LEGACY))
            if reply.result is None:
                reason = (reply.error or {}).get("message", "no result")
                raise HostGone(f"the hosted server refused the handshake: {reason}")
            lease = Lease(key, link, borrowed, reply.result)
            await link.notify(message.notification("notifications/initialized"), _legacy(call, lease))
            return lease
        except BaseException:
            with contextlib.suppress(Exception):
                await link.close()
            raise

    async def _give_back(self, lease: Lease, is_whole: bool) -> None:
        if is_whole and sum(map(len, self._idle.values())) < MAX_IDLE:
            self._idle.setdefault(lease.key, []).append(lease)
        else:
            await lease.link.close()

    # -- subscriptions --------------------------------------------------------------------------

    async def _listen(self, asked: Message, back: Back, call: Call) -> Message:
        """Pass on what the server announces, until whoever listens leaves."""
        raw: object = (asked.params or {}).get("notifications")
        if not isinstance(raw, dict):
            return message.failure(asked.id, refusal.INVALID_PARAMS, "params.notifications must be an object")
        wanted = {key: value for key, value in cast("dict[str, Any]", raw).items() if value}
        uris = [uri for uri in cast("list[object]", wanted.get("resourceSubscriptions") or []) if isinstance(uri, str)]
        listener = _Listener(wanted)
        meta = {classify.META_SUBSCRIPTION: asked.id}
        watcher = await self._watch(call)
        self._listeners.add(listener)
        try:
            for uri in uris:
                await self._subscribe(watcher, uri, call)
            acknowledged = {"notifications": wanted, "_meta": meta}
            await back.notify(message.notification("notifications/subscriptions/acknowledged", acknowledged))
            while True:
                event = await listener.events.get()
                params = {**(event.params or {}), "_meta": meta}
                await back.notify(message.notification(event.method, params))
        finally:
            self._listeners.discard(listener)
            for uri in uris:
                await self._unsubscribe(watcher, uri, call)

    async def _watch(self, call: Call) -> Lease:
        """Return the one link whose announcements all listeners share."""
        async with self._watching:
            if self._watcher is None:
                self._watcher = await self._shake_hands(b"", call)
                self._watcher.borrowed.back = _Announcements(self._listeners)
            return self._watcher

    async def _subscribe(self, watcher: Lease, uri: str, call: Call) -> None:
        self._subscribed[uri] = self._subscribed.get(uri, 0) + 1
        if self._subscribed[uri] == 1:
            await self._tell(watcher, "resources/subscribe", uri, call)

    async def _unsubscribe(self, watcher: Lease, uri: str, call: Call) -> None:
        self._subscribed[uri] -= 1
        if self._subscribed[uri] == 0:
            del self._subscribed[uri]
            with contextlib.suppress(HostGone):
                await self._tell(watcher, "resources/unsubscribe", uri, call)

    async def _tell(self, watcher: Lease, method: str, uri: str, call: Call) -> None:
        told = message.request(f"watch-{next(self._ids)}", method, {"uri": uri})
        await watcher.link.request(told, watcher.borrowed, _legacy(call, watcher))


class _Announcements:
    """Hands what the server announces to every listener that asked for it. A `Back` nobody can be asked on."""

    def __init__(self, listeners: set[_Listener]) -> None:
        self._listeners = listeners

    async def notify(self, message: Message) -> None:
        for listener in list(self._listeners):
            if _wants(listener.wanted, message):
                with contextlib.suppress(asyncio.QueueFull):
                    listener.events.put_nowait(message)

    async def request(self, message: Message) -> Message:
        raise NoBackChannel(f"{message.method!r} belongs to no call")


def _object(value: object) -> dict[str, Any] | None:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _wants(wanted: dict[str, Any], told: Message) -> bool:
    if told.method == "notifications/resources/updated":
        uri: object = (told.params or {}).get("uri")
        return uri in (wanted.get("resourceSubscriptions") or [])
    kind = _CHANGES.get(told.method)
    return kind is not None and wanted.get(kind) is True


def _has(lease: Lease, capability: str) -> bool:
    raw: object = lease.initialized.get("capabilities")
    return isinstance(raw, dict) and cast("dict[str, Any]", raw).get(capability) is not None


def _legacy(call: Call, lease: Lease) -> Call:
    revision: object = lease.initialized.get("protocolVersion")
    return _handshake(call, revision if isinstance(revision, str) else revisions.LATEST_LEGACY)


def _handshake(call: Call, revision: str) -> Call:
    return Call(
        era="legacy",
        revision=revision,
        headers=call.headers,
        capabilities=call.capabilities,
        client_info=call.client_info,
        principal=call.principal,
        client=call.client,
        scheme=call.scheme,
        path=call.path,
    )
