"""The legacy sessions that live on this replica: made, ended, let go, and forgotten when idle."""

import asyncio
import logging
from collections import OrderedDict
from typing import Final

from portside.clock import Clock
from portside.errors import StateUnavailable
from portside.gateway.annotations import MayRerun
from portside.gateway.options import Options
from portside.gateway.owners import Owners
from portside.gateway.ownership import Ownership
from portside.gateway.session import Session
from portside.gateway.tally import Tally
from portside.gateway.ticker import Ticker
from portside.state.base import Streams
from portside.wire.session import SessionRecord

SWEEP_S: Final = 15.0
MAX_ENDED: Final = 10_000
"""Sessions whose end is remembered here, where a store that was set back would not know of it any more."""

IDLE_S: Final = 0.02
"""How often a session that is to move on is looked at, whether something runs for it still."""

CLOSED_AT_ONCE: Final = 50

_log = logging.getLogger("portside.gateway")


class Living:
    """All of them, by id. `owners` says in shared state whose they are."""

    def __init__(
        self,
        owners: Owners,
        events: Streams,
        options: Options,
        clock: Clock,
        ticker: Ticker,
        may_rerun: MayRerun,
        tally: Tally,
    ) -> None:
        self.by_id: dict[str, Session] = {}
        self._owners = owners
        self._events = events
        self._options = options
        self._clock = clock
        self._ticker = ticker
        self._may_rerun = may_rerun
        self._tally = tally
        self._ending: set[asyncio.Task[None]] = set()
        self._moving: dict[str, asyncio.Task[None]] = {}
        self._over: OrderedDict[str, None] = OrderedDict()

    def has_ended(self, id_: str) -> bool:
        """Say whether a session was ended here: a store that was set back may know it again; nobody else may."""
        return id_ in self._over

    def is_moving(self, id_: str) -> bool:
        """Say whether a session is about to be let go."""
        return id_ in self._moving

    def make(self, record: SessionRecord, epoch: int) -> Session:
        """Return a session that is ours since `epoch`, 0 where shared state does not know it; nobody finds it yet."""
        ownership = Ownership(record.id, epoch, self._owners.vouched, lambda: self._lost(record.id))
        return Session(
            record,
            ownership,
            self._events,
            self._options,
            self._ticker,
            is_shared=self._owners.are_shared,
            may_rerun=self._may_rerun,
            on_changed=self._owners.save,
            now=self._clock.monotonic(),
        )

    def _lost(self, id_: str) -> None:
        """Drop a session that is somebody else's now, or nobody's: what runs here for it ends."""
        session = self.by_id.pop(id_, None)
        if session is not None:
            _log.warning("session %s is not this replica's any more", session.hash)
            self._tally.session_lost()
            self._end_soon(session)

    async def let_go(self, session: Session) -> None:
        """End the session here, so that the next replica that is asked goes on with it."""
        self.by_id.pop(session.record.id, None)
        is_ours = not session.ownership.is_lost
        session.ownership.is_lost = True
        await session.end()
        if is_ours:
            await self._owners.release(session)

    async def give_up(self, id_: str) -> bool:
        """Let go of a session of ours that has not begun; say whether that was done."""
        session = self.by_id.get(id_)
        if session is None or session.record.is_initialized or session.is_busy or session.ownership.epoch == 0:
            return False
        await self.let_go(session)
        return True

    async def moved(self, id_: str) -> None:
        """Return once a session has been let go, which is when nothing runs for it here."""
        moving = self._moving.get(id_)
        if moving is None:
            moving = self._moving[id_] = self._ticker.loop.create_task(self._move(id_), name="session-move")
            moving.add_done_callback(lambda _: self._moving.pop(id_, None))
        await asyncio.shield(moving)

    async def _move(self, id_: str) -> None:
        while (session := self.by_id.get(id_)) is not None:
            if not session.is_at_work:
                await self.let_go(session)
                return
            await asyncio.sleep(IDLE_S)

    async def end(self, session: Session) -> None:
        """End one session: it is unknown from here on, and all it holds is freed soon, however long a child takes.

        Raises StateUnavailable: then it goes on.
        """
        await self._owners.remove(session)
        self.by_id.pop(session.record.id, None)
        if self._owners.are_shared:
            self._over[session.record.id] = None
            if len(self._over) > MAX_ENDED:
                self._over.popitem(last=False)
        self._end_soon(session)

    def _end_soon(self, session: Session) -> None:
        ending = self._ticker.loop.create_task(session.end(), name="session-end")
        self._ending.add(ending)
        ending.add_done_callback(self._ended)

    def _ended(self, ending: asyncio.Task[None]) -> None:
        self._ending.discard(ending)
        if not ending.cancelled() and (error := ending.exception()) is not None:
            _log.error("a session did not end cleanly", exc_info=error)

    async def sweep(self) -> None:
        """End sessions that were idle for too long, and keep the others alive, again and again until cancelled."""
        used = self._clock.monotonic()
        while True:
            await asyncio.sleep(min(SWEEP_S, self._options.session_idle_s / 2))
            try:
                await self.end_idle()
                since, used = used, self._clock.monotonic()
                await self._owners.touch([one for one in self.by_id.values() if one.is_busy or one.last_used >= since])
            except StateUnavailable as error:
                _log.debug("sessions are swept later: %s", error.message)

    async def end_idle(self) -> int:
        """End the sessions that are idle now; return how many. Raises StateUnavailable."""
        oldest = self._clock.monotonic() - self._options.session_idle_s
        idle = [one for one in self.by_id.values() if one.last_used < oldest and not one.is_busy]
        for session in idle:
            await self.end(session)
        return len(idle)

    def hint_and_end_streams(self) -> None:
        """Close every standalone stream with a hint when to reconnect: this process is about to go."""
        for session in list(self.by_id.values()):
            session.channels.hint()

    async def close(self) -> None:
        """End every session here; where state is shared, others go on with them. Returns once all is freed."""
        while self.by_id:
            some = list(self.by_id.values())[:CLOSED_AT_ONCE]
            await asyncio.gather(*map(self.let_go if self._owners.are_shared else self.end, some))
        if self._moving:
            await asyncio.wait(self._moving.values())
        if self._ending:
            await asyncio.wait(self._ending)
