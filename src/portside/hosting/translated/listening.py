"""Modern subscriptions to a server that only announces on legacy connections: one watching link for each principal."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, Final, cast

from portside.errors import HostBusy, HostGone
from portside.hosting.base import Back, Call
from portside.hosting.translated.leases import Lease, Leases, Limits
from portside.wire import changes, classify, message, refusal
from portside.wire.message import Message
from portside.wire.translate import members

MAX_URIS: Final = 1000


class Listener:
    """One subscription: what it was acknowledged, and what it has still to be told.

    Announcements of one kind are told once, however often they came meanwhile; so the backlog is bounded.
    """

    def __init__(self) -> None:
        self.honoured: dict[str, Any] = {}
        self.uris: list[str] = []
        self._pending: dict[tuple[str, object], Message] = {}
        self._stirred = asyncio.Event()
        self._is_ended = False

    def hear(self, told: Message) -> None:
        """Take an announcement, if it was asked for."""
        if changes.is_wanted(told, self.honoured):
            self._pending[told.method, (told.params or {}).get("uri")] = told
            self._stirred.set()

    def end(self) -> None:
        """End the subscription from the server's side."""
        self._is_ended = True
        self._stirred.set()

    async def heard(self) -> list[Message]:
        """Wait for announcements; none once the subscription has ended."""
        while not self._pending and not self._is_ended:
            self._stirred.clear()
            await self._stirred.wait()
        told = list(self._pending.values())
        self._pending.clear()
        return told


class Listening:
    """All subscriptions of modern clients to one host of legacy links."""

    def __init__(self, leases: Leases, limits: Limits) -> None:
        self._leases = leases
        self._limits = limits
        self._watchers: dict[str | None, Watcher] = {}

    async def listen(self, asked: Message, back: Back, call: Call) -> Message:
        """Pass on what the server announces until whoever listens leaves, or until the server is gone.

        Raises HostGone where the server is not there to begin with, HostBusy where too many principals listen.
        """
        raw: object = (asked.params or {}).get("notifications")
        uris: object = members(raw).get("resourceSubscriptions") or []
        if not isinstance(raw, dict) or not isinstance(uris, list):
            return message.failure(asked.id, refusal.INVALID_PARAMS, "params.notifications must be a filter object")
        if len(cast("list[object]", uris)) > MAX_URIS:
            text = f"a subscription names at most {MAX_URIS} resources"
            return message.failure(asked.id, refusal.INVALID_PARAMS, text)
        meta = {classify.META_SUBSCRIPTION: asked.id}
        watcher, listener = self._watcher(call), Listener()
        watcher.listeners.add(listener)
        try:
            await watcher.honour(listener, cast("dict[str, Any]", raw), call)
            acknowledged = {"notifications": listener.honoured, "_meta": meta}
            await back.notify(message.notification("notifications/subscriptions/acknowledged", acknowledged))
            while told := await listener.heard():
                for one in told:
                    params = {**(one.params or {}), "_meta": members((one.params or {}).get("_meta")) | meta}
                    await back.notify(message.notification(one.method, params))
        finally:
            await self._leave(watcher, listener)
        return message.response(asked.id, {"resultType": "complete", "_meta": meta})

    def hear(self, told: Message, principal: str | None) -> None:
        """Take what the server announced on a link of this principal; that a list changed concerns everybody."""
        for watcher in list(self._watchers.values()):
            if told.method != changes.UPDATED or watcher.call.principal == principal:
                watcher.hear(told)

    async def close(self) -> None:
        """End every subscription and close the links that heard for them."""
        watchers = list(self._watchers.values())
        self._watchers.clear()
        for watcher in watchers:
            await watcher.close()

    def _watcher(self, call: Call) -> "Watcher":
        found = self._watchers.get(call.principal)
        if found is None:
            if len(self._watchers) >= self._limits.watchers:
                limit = self._limits.watchers
                raise HostBusy(f"{limit} principals listen to the hosted server already, as many as are let")
            found = self._watchers[call.principal] = Watcher(self._leases, self._limits, call)
        return found

    async def _leave(self, watcher: "Watcher", listener: Listener) -> None:
        watcher.listeners.discard(listener)
        if watcher.listeners:
            await watcher.release(listener)
            return
        if self._watchers.get(watcher.call.principal) is watcher:
            del self._watchers[watcher.call.principal]
        await watcher.close()


class Watcher:
    """One legacy link that hears for all listeners of a principal; opened anew when it turns out to be gone."""

    def __init__(self, leases: Leases, limits: Limits, call: Call) -> None:
        self.call = call
        self.listeners: set[Listener] = set()
        self._leases = leases
        self._limits = limits
        self._lease: Lease | None = None
        self._lock = asyncio.Lock()
        self._subscribed: dict[str, int] = {}
        self._keeper: asyncio.Task[None] | None = None

    def hear(self, told: Message) -> None:
        """Hand an announcement to every listener that asked for it."""
        for listener in list(self.listeners):
            listener.hear(told)

    async def honour(self, listener: Listener, wanted: Mapping[str, Any], call: Call) -> None:
        """Begin to hear for a listener what the server's capabilities offer of its wishes. Raises HostGone."""
        async with self._lock:
            if self._lease is not None and not await self._is_there():
                await self._renew()
            lease = self._lease or await self._open()
            offered = changes.offered(wanted, lease.initialized.get("capabilities"))
            uris = dict.fromkeys(uri for uri in offered.pop("resourceSubscriptions", []) if isinstance(uri, str))
            for uri in uris:
                if uri in self._subscribed or await self._tell(lease, "resources/subscribe", uri, call):
                    self._subscribed[uri] = self._subscribed.get(uri, 0) + 1
                    listener.uris.append(uri)
            listener.honoured = {**offered, "resourceSubscriptions": listener.uris} if listener.uris else offered

    async def release(self, listener: Listener) -> None:
        """Stop to hear about the resources that only this listener had asked for."""
        async with self._lock:
            for uri in listener.uris:
                self._subscribed[uri] -= 1
                if self._subscribed[uri] == 0:
                    del self._subscribed[uri]
                    if self._lease is not None:
                        with contextlib.suppress(HostGone):
                            await self._tell(self._lease, "resources/unsubscribe", uri, self.call)

    async def close(self) -> None:
        """End the listeners and close the link. May be called twice."""
        if self._keeper is not None:
            self._keeper.cancel()
        for listener in list(self.listeners):
            listener.end()
        lease, self._lease = self._lease, None
        if lease is not None:
            await self._leases.end(lease)

    async def _open(self) -> Lease:
        # No capabilities: the server must not ask anything here, where no call is.
        self._lease = lease = await self._leases.shake_hands(b"", self.call, {})
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name="watcher-keep")
        return lease

    async def _tell(self, lease: Lease, method: str, uri: str, call: Call) -> bool:
        told = message.request(self._leases.id("watch"), method, {"uri": uri})
        return (await lease.link.request(told, lease.borrowed, lease.call(call))).error is None

    async def _keep(self) -> None:
        """Ask again and again whether the server is there: a link says nothing of its end by itself."""
        while True:
            await asyncio.sleep(self._limits.ping_s)
            if not await self._is_there():
                await self._reopen()

    async def _is_there(self) -> bool:
        lease = self._lease
        if lease is None:
            return False
        try:
            async with asyncio.timeout(self._limits.ping_s):
                await lease.link.request(message.request(self._leases.id("ping"), "ping"), lease.borrowed, self._call())
        except (HostGone, TimeoutError):
            return False
        return True

    def _call(self) -> Call:
        return self.call if self._lease is None else self._lease.call(self.call)

    async def _reopen(self) -> None:
        """Open the link anew and have everybody look again; or end all listeners, where the server is gone."""
        async with self._lock:
            try:
                await self._renew()
            except HostGone:
                for listener in list(self.listeners):
                    listener.end()

    async def _renew(self) -> None:
        lost, self._lease = self._lease, None
        if lost is not None:
            await self._leases.end(lost)
        lease = await self._open()
        for uri in list(self._subscribed):
            await self._tell(lease, "resources/subscribe", uri, self.call)
        for listener in list(self.listeners):
            for told in changes.every_change(listener.honoured):
                listener.hear(told)
