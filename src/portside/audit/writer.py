"""Puts events on record: each `append` returns once its entry is kept, and many share one write."""

import asyncio
import os
import re
from collections.abc import Callable, Sequence
from typing import Final, Self

import msgspec
import structlog

from portside.audit import chain
from portside.audit.base import AuditUnavailable, Sink
from portside.audit.event import Detail, Event, encode, life
from portside.audit.keys import Signer
from portside.audit.rows import Receipt, Rows
from portside.audit.shipping import Ship
from portside.clock import Clock

GROUP: Final = 500
"""Most entries that share one write: encoding them holds up the event loop for a few milliseconds at most."""

TURNS: Final = 6
"""Turns of the event loop from one write to the next: those just released answer, their clients' next requests are
read, begin, and ask to be put on record. So one write holds them all, where half would wait for the other half's."""

LAZY_S: Final = 0.02
"""How long an event that nobody waits for may wait for one that somebody does: they then share a write."""

MAX_WAITING: Final = 20_000

_SERVER_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,63}", re.ASCII)
_log: structlog.stdlib.BoundLogger = structlog.get_logger("portside.audit")


class _Waiting(msgspec.Struct, frozen=True):
    """An event that is not yet on record; `done` is None where nobody waits for it to be, and `since` is then 0.

    It is made when it is written: many made in a row cost half of as many made one by one.
    """

    make: Callable[[], Event]
    time_us: int
    since: float
    done: asyncio.Future[Receipt] | None


class Writer:
    """One process's part of the log, under a name of its own: the server's id and a nonce made at the start.

    Opening writes a signed start entry that names the last rows of all other writers, closing a signed stop entry.
    A signed checkpoint follows at most 1,000 rows and, also when nothing happens, `checkpoint_s` after the last one.
    While the sink fails, `append` raises; the chain goes on where it stood as soon as the sink works again.
    """

    def __init__(
        self,
        sink: Sink,
        signer: Signer,
        *,
        server_id: str,
        clock: Clock,
        ship: Ship | None = None,
        checkpoint_s: float = chain.CHECKPOINT_S,
        timeout_s: float = 5.0,
        details: dict[str, Detail] | None = None,
    ) -> None:
        if not _SERVER_ID.fullmatch(server_id):
            raise ValueError(f"server id {server_id!r}: expected 1 to 63 of A-Z a-z 0-9 . _ -")
        self.name = f"{server_id}.{os.urandom(8).hex()}"
        self._sink = sink
        self._rows = Rows(self.name, sink, signer, clock, ship)
        self._checkpoint_s = checkpoint_s
        self._beat_s = checkpoint_s / 12
        self._timeout_s = timeout_s
        self._details = details or {}
        self._waiting: list[_Waiting] = []
        self._writing: Sequence[_Waiting] = ()
        self._is_urgent = False
        self._lazy: asyncio.TimerHandle | None = None
        self._late: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._beating: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._is_open = False
        self._loop: asyncio.AbstractEventLoop

    def __repr__(self) -> str:
        return f"<Writer {self.name} at {self._rows.sequence}>"

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def failure(self) -> str | None:
        """Why nothing can be put on record at the moment; None while it can. For health checks."""
        return self._rows.failure

    async def open(self) -> None:
        """Write the start entry. Raises AuditUnavailable, and then has closed the sink."""
        self._loop = asyncio.get_running_loop()
        try:
            repairs = await self._sink.repair()
            async with self._lock:
                await self._rows.seal("start", Event(kind="start", details=self._details))
            self._is_open = True
            for repair in repairs:
                await self.append(life("repaired", place=repair.place, bytes=repair.size, sha256=repair.sha256))
        except BaseException:
            self._is_open = False
            await self._sink.close()
            raise
        self._beating = asyncio.create_task(self._beat())

    async def append(self, event: Event | Callable[[], Event]) -> Receipt:
        """Put an event, or what `event` then returns, on record; it outlives a crash when this returns.

        May be called at once from many tasks of one loop. A cancelled call leaves its event on record. Raises
        AuditUnavailable where the sink fails, does not answer in time, or the writer is closed; the event may then
        still be found on record, but must not be counted on.
        """
        self._check()
        done: asyncio.Future[Receipt] = self._loop.create_future()
        self._waiting.append(_Waiting(_maker(event), self._rows.now_us(), self._loop.time(), done))
        self._is_urgent = True
        if self._flushing is None:
            self._begin()
        if self._late is None:
            self._look_later()
        return await done

    def put(self, event: Event | Callable[[], Event]) -> None:
        """Begin to put an event, or what `event` then returns, on record, for those who need not wait.

        Where that fails later, the log says so. It is written with the next that somebody waits for, within LAZY_S at
        the latest. Raises AuditUnavailable where the writer is closed, or too much waits already.
        """
        self._check()
        self._waiting.append(_Waiting(_maker(event), self._rows.now_us(), 0.0, None))
        if self._flushing is None and self._lazy is None:
            self._lazy = self._loop.call_later(LAZY_S, self._begin)

    def _check(self) -> None:
        if not self._is_open:
            raise AuditUnavailable(f"audit writer {self.name} is closed; expected an open one")
        if len(self._waiting) >= MAX_WAITING:
            raise AuditUnavailable(f"{MAX_WAITING} events wait to be put on record; expected the sink to keep up")

    def _begin(self) -> None:
        """Begin to write what waits."""
        if self._lazy is not None:
            self._lazy.cancel()
            self._lazy = None
        if self._flushing is None and self._waiting:
            self._flushing = asyncio.create_task(self._flush())

    def _look_later(self) -> None:
        # One timer for all of them: most never need it, and a time-out for each would cost them all.
        self._late = self._loop.call_later(self._timeout_s / 4, self._look)

    def _look(self) -> None:
        """Tell those who have waited for too long; look again while somebody waits."""
        self._late = None
        now = self._loop.time()
        for one in (*self._writing, *self._waiting):
            if one.done is not None and now - one.since >= self._timeout_s and not one.done.done():
                text = f"the audit sink has not answered within {self._timeout_s:g} s"
                one.done.set_exception(AuditUnavailable(text))
        if self._writing or self._waiting:
            self._look_later()

    async def beat(self) -> None:
        """Write a checkpoint if one falls due before the next beat. Raises AuditUnavailable.

        The writer calls this by itself, twelve times in `checkpoint_s`, so that a failed one is tried again soon.
        """
        async with self._lock:
            if self._is_open and self._rows.age_s > self._checkpoint_s - self._beat_s:
                await self._rows.seal("running")

    async def close(self) -> None:
        """Put on record what waits, then the stop entry, and let go of the sink. May be called twice.

        Raises AuditUnavailable where the stop entry could not be written; the sink is closed all the same.
        """
        if not self._is_open:
            return
        self._is_open = False
        while self._waiting or self._flushing is not None:
            self._begin()
            if self._flushing is not None:
                await asyncio.wait([self._flushing])
        if self._late is not None:
            self._late.cancel()
        try:
            # Under the lock, so that a checkpoint under way is not cut off in the middle.
            async with self._lock:
                if self._beating is not None:
                    self._beating.cancel()
                await self._rows.seal("stop", life("stop"), at_once=True)
        finally:
            await self._rows.close(self._timeout_s)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._beat_s)
            try:
                await self.beat()
            except AuditUnavailable as error:
                _log.error("audit.checkpoint_failed", writer=self.name, error=str(error))

    async def _flush(self) -> None:
        is_left = True
        try:
            # Who comes during a write shares the next one: the more ask, the more share, and nobody waits for a timer.
            while self._is_urgent or is_left:
                async with self._lock:
                    self._is_urgent = False
                    self._writing, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
                    is_left = bool(self._waiting)
                    were_several = sum(one.done is not None for one in self._writing) > 1
                    await self._keep(self._writing)
                    self._writing = ()
                # While there is one caller at a time, nobody else would come.
                for _ in range(TURNS if were_several else 0):
                    await asyncio.sleep(0)
        finally:
            self._flushing = None
        if self._waiting:
            self._lazy = self._loop.call_later(LAZY_S, self._begin)

    async def _keep(self, group: Sequence[_Waiting]) -> None:
        try:
            receipts = await self._rows.keep([(encode(one.make()), one.time_us) for one in group])
        except Exception as error:  # whatever it is, those who wait must hear of it
            for waiting in group:
                if waiting.done is not None and not waiting.done.done():
                    waiting.done.set_exception(error)
            if unheard := sum(waiting.done is None for waiting in group):
                _log.error("audit.not_recorded", writer=self.name, events=unheard, error=str(error))
            return
        for waiting, receipt in zip(group, receipts, strict=True):
            if waiting.done is not None and not waiting.done.done():
                waiting.done.set_result(receipt)


def _maker(event: Event | Callable[[], Event]) -> Callable[[], Event]:
    return (lambda: event) if isinstance(event, Event) else event
