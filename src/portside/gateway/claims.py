"""This replica's dealings with the ledger: claiming calls, waiting for those of others, recording how ours ended."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from portside.errors import StateUnavailable
from portside.gateway import outcome
from portside.gateway.annotations import MayRerun
from portside.hosting.base import Call
from portside.state.base import Entry, Ledger
from portside.wire.message import Message

POLL_S: Final = 0.025
MAX_POLL_S: Final = 0.5
"""How often the ledger is asked about a call that another replica runs: seldomer the longer it takes."""

RECORD_S: Final = 600.0
"""How long is tried to record an outcome, or to free a key, while the ledger is away."""

MAX_UNRECORDED: Final = 1000

_log = logging.getLogger("portside.gateway")


class Claims:
    """The claims of one replica, named by its holder `owner`.

    `lives` says whether another replica lives, `may_rerun` whether a call may be made again. Outcomes are kept for
    `ttl_ms`, and up to `max_bytes` each.
    """

    def __init__(
        self,
        ledger: Ledger,
        owner: str,
        *,
        lives: Callable[[str], Awaitable[bool]],
        may_rerun: MayRerun,
        ttl_ms: int,
        max_bytes: int,
    ) -> None:
        self.may_rerun = may_rerun
        self._ledger = ledger
        self._owner = owner
        self._lives = lives
        self._ttl_ms = ttl_ms
        self._max_bytes = max_bytes
        # The calls that were begun here and whose end the ledger does not know, by when they began.
        self._unrecorded: dict[str, float] = {}
        self._freeing: dict[str, asyncio.Task[None]] = {}
        self._ending = asyncio.Event()

    async def claim(self, place: str, digest: str, asked: Message, call: Call) -> Entry:
        """Return the claim, or what became of the call; `running` where it was lost and must not be made again.

        Waits for as long as a replica that lives is at it. Raises StateUnavailable.
        """
        await self._stop_freeing(place)
        pause_s = POLL_S
        while True:
            entry = await self._ledger.begin(place, digest, self._owner, ttl_ms=self._ttl_ms)
            if entry.status != "running":
                return entry
            if entry.owner != self._owner and await self._lives(entry.owner):
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, MAX_POLL_S)
                continue
            if not self._is_unused(place, entry) and not await self.may_rerun(asked, call):
                return entry
            entry = await self._retake(place, digest, entry)
            if entry.status != "running":
                return entry

    def begin(self, place: str) -> None:
        """Note that a claimed call begins to run: from here on the claim may not be taken for an unused one."""
        now = asyncio.get_running_loop().time()
        if len(self._unrecorded) >= MAX_UNRECORDED:
            oldest = now - self._ttl_ms / 1000
            self._unrecorded = {one: began for one, began in self._unrecorded.items() if began > oldest}
        self._unrecorded[place] = now

    async def record(self, place: str, token: int, recorded: Message | None, call: Call) -> bool:
        """Store how a call ended, or free its key where that is None; False where the ledger cannot be reached."""
        try:
            if recorded is None:
                was_ours = await self._ledger.forget(place, token=token)
            else:
                data = outcome.encode(recorded, call.era, max_bytes=self._max_bytes)
                was_ours = await self._ledger.finish(place, data, token=token, ttl_ms=self._ttl_ms)
        except StateUnavailable as error:
            _log.warning("the end of a call with a key could not be recorded: %s", error.message)
            return False
        if not was_ours:
            _log.warning("a call with a key was taken for lost meanwhile: what is recorded is not how it ended here")
        self._unrecorded.pop(place, None)
        return True

    async def record_later(self, place: str, token: int, recorded: Message | None, call: Call) -> None:
        """Try again to record it, for RECORD_S, and a last time when this replica ends."""
        loop = asyncio.get_running_loop()
        pause_s, until = POLL_S, loop.time() + RECORD_S
        while loop.time() < until:
            is_last = await self._paused(pause_s)
            pause_s = min(2 * pause_s, 4 * MAX_POLL_S)
            if await self.record(place, token, recorded, call):
                return
            if is_last:
                break
        _log.error("the end of a call with a key is not recorded: asked for again, its outcome is unknown")

    def free_later(self, place: str, digest: str) -> None:
        """Free the key of a call that was not begun, once the ledger is back: it may have heard of the claim."""
        task = self._freeing[place] = asyncio.create_task(self._free(place, digest), name="claim-free")

        def done(ended: asyncio.Task[None]) -> None:
            if self._freeing.get(place) is ended:
                del self._freeing[place]

        task.add_done_callback(done)

    def end(self) -> None:
        """Give up waiting for a ledger that is away: what is unrecorded is tried once more."""
        self._ending.set()

    async def close(self) -> None:
        """Stop what goes on in the background."""
        for place in list(self._freeing):
            await self._stop_freeing(place)

    def _is_unused(self, place: str, entry: Entry) -> bool:
        """Whether a claim of ours was never used: only the answer to it was lost."""
        return entry.owner == self._owner and place not in self._unrecorded

    async def _retake(self, place: str, digest: str, entry: Entry) -> Entry:
        return await self._ledger.retake(place, digest, self._owner, token=entry.token, ttl_ms=self._ttl_ms)

    async def _free(self, place: str, digest: str) -> None:
        loop = asyncio.get_running_loop()
        pause_s, until = POLL_S, loop.time() + RECORD_S
        while loop.time() < until:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 4 * MAX_POLL_S)
            try:
                entry = await self._ledger.begin(place, digest, self._owner, ttl_ms=self._ttl_ms)
                if entry.status == "running" and self._is_unused(place, entry):
                    entry = await self._retake(place, digest, entry)
                if entry.status == "new":
                    await self._ledger.forget(place, token=entry.token)
            except StateUnavailable as error:
                _log.debug("a key could not be freed yet: %s", error.message)
            else:
                return

    async def _paused(self, seconds: float) -> bool:
        """Wait a moment; return at once, and True, where this replica ends."""
        try:
            async with asyncio.timeout(seconds):
                return await self._ending.wait()
        except TimeoutError:
            return False

    async def _stop_freeing(self, place: str) -> None:
        # Its tokens are known to nobody else, so whatever of it is still on its way does no harm to a newer claim.
        task = self._freeing.pop(place, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
