"""A call with an idempotency key is not run twice: in front of a host and its links, also across replicas."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from portside.gateway.annotations import MayRerun
from portside.gateway.call import digest
from portside.gateway.claims import Claims
from portside.gateway.keyed import Count, KeyedCall, reused
from portside.hosting.around import AroundHost, AroundLink
from portside.hosting.base import Back, Call, Host, Link
from portside.state.base import Ledger
from portside.wire import idempotency, message, refusal
from portside.wire.message import Message
from portside.wire.refusal import Refusal
from portside.wire.session import SessionRecord

if TYPE_CHECKING:
    from types import CoroutineType

TTL_MS: Final = 24 * 60 * 60 * 1000
MAX_BYTES: Final = 1024 * 1024

MAX_UNATTENDED: Final = 100
"""Calls of one principal that go on though nobody waits for them; from there on it is told to wait."""

_CLOSE_S: Final = 5.0


class Once:
    """The calls with a key that this replica runs or waits for. Wrap the host and the modern link with it.

    `lives` says whether the replica with this holder lives (as `Presence.lives`), `may_rerun` whether a call may be run
    again (as `Annotations.may_rerun`), `count` hears what became of calls that were not simply run.
    """

    def __init__(
        self,
        ledger: Ledger,
        owner: str,
        *,
        lives: Callable[[str], Awaitable[bool]],
        may_rerun: MayRerun,
        call_timeout_s: float = 300.0,
        ttl_ms: int = TTL_MS,
        max_bytes: int = MAX_BYTES,
        count: Count = lambda _: None,
    ) -> None:
        self._claims = Claims(ledger, owner, lives=lives, may_rerun=may_rerun, ttl_ms=ttl_ms, max_bytes=max_bytes)
        self._timeout_s = call_timeout_s
        self._count = count
        self._calls: dict[str, KeyedCall] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"Once({len(self._calls)} calls, {self.unattended} of them unattended)"

    @property
    def unattended(self) -> int:
        """How many calls go on without anybody who waits for them; they count as in flight."""
        return sum(1 for one in self._calls.values() if one.is_unattended)

    def host(self, host: Host) -> Host:
        """Return the host with links that keep to this."""
        return OnceHost(host, self)

    def link(self, link: Link) -> Link:
        """Return the link keeping to this."""
        return OnceLink(link, self)

    async def request(self, link: Link, key: str, asked: Message, back: Back, call: Call) -> Message:
        """Return the answer to a call with a key: run now, awaited, or told again. Raises what the link raises."""
        place, wanted = _place(call.principal, key), digest(asked)
        known = self._calls.get(place)
        if known is not None and known.digest != wanted:
            self._count("conflict")
            return reused(asked)
        if known is None:
            if self._is_crowded(call.principal):
                text = f"more than {MAX_UNATTENDED} calls go on that nobody waits for; try again when some have ended"
                return message.failure(asked.id, refusal.TOO_MANY, text)
            known = self._start(link, place, wanted, asked, call)
        else:
            self._count("replayed")
        return await known.join(asked, back, call)

    async def settled(self) -> None:
        """Return once no call with a key runs any more."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """End: what still runs is cancelled and its end recorded."""
        self._claims.end()
        for one in list(self._calls.values()):
            one.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_S)
        await self._claims.close()
        for task in self._tasks:
            task.cancel()  # the ledger is away, and has been for too long
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _start(self, link: Link, place: str, wanted: str, asked: Message, call: Call) -> KeyedCall:
        made = KeyedCall(self._claims, link, place, wanted, asked, call, timeout_s=self._timeout_s, count=self._count)

        def end(_: object = None) -> None:
            if self._calls.get(place) is made:
                del self._calls[place]

        self._calls[place] = made
        task = made.start(end)
        self._tasks.add(task)
        task.add_done_callback(end)
        task.add_done_callback(self._tasks.discard)
        return made

    def _is_crowded(self, principal: str | None) -> bool:
        if len(self._calls) < MAX_UNATTENDED:
            return False
        mine = sum(1 for one in self._calls.values() if one.is_unattended and one.principal == principal)
        return mine >= MAX_UNATTENDED


class OnceLink(AroundLink):
    """A link whose calls with a key are run at most once. Others go straight through."""

    def __init__(self, link: Link, once: Once) -> None:
        super().__init__(link)
        self._once = once

    # No coroutine of its own: a call without a key pays for a look into its `_meta`, and nothing else.
    def request(self, message: Message, back: Back, call: Call) -> "CoroutineType[Any, Any, Message]":
        """Return the response. Raises HostGone. Cancelling it cancels a call with a key only in the legacy era."""
        if message.method == idempotency.CALL and message.params:
            meta = message.params.get("_meta")
            if isinstance(meta, dict) and idempotency.META in meta:
                return self._keyed(message, back, call)
        return self._link.request(message, back, call)

    async def _keyed(self, asked: Message, back: Back, call: Call) -> Message:
        try:
            key = idempotency.key_of(asked)
        except Refusal as refused:
            return message.failure(asked.id, refused.code, refused.message)
        if key is None:
            return await self._link.request(asked, back, call)
        return await self._once.request(self._link, key, asked, back, call)


class OnceHost(AroundHost):
    """A host all of whose links keep to it."""

    def __init__(self, host: Host, once: Once) -> None:
        super().__init__(host)
        self._once = once

    async def open(self, session: SessionRecord | None, back: Back) -> Link:
        return self._once.link(await self._host.open(session, back))


def _place(principal: str | None, key: str) -> str:
    """Return the key as the ledger knows it: somebody else's is another one, and neither can be read there."""
    owner = b"-" if principal is None else b"+" + principal.encode("utf-8", "surrogatepass")
    return hashlib.sha256(len(owner).to_bytes(4) + owner + key.encode()).hexdigest()
