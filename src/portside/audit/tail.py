"""The end of one writer's chain: what is kept for certain, and how it goes on after a failure."""

from collections.abc import Sequence
from typing import Final

import structlog

from portside.audit import chain
from portside.audit.base import AuditUnavailable, Sink, Stored
from portside.audit.chain import Position
from portside.clock import Clock

RETRY_S: Final = 1.0
"""How long a failed sink is left alone; meanwhile every attempt fails at once."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger("portside.audit")


class Tail:
    """Where a writer's chain stands in its sink. Used by one task at a time.

    `sealed_at` is when the last signed row was kept, monotonic seconds; `failure` why the sink does not work.
    """

    def __init__(self, writer: str, sink: Sink, clock: Clock) -> None:
        self.position = chain.genesis(writer)
        self.sealed_at = 0.0
        self.failure: str | None = None
        self._sink = sink
        self._clock = clock
        self._attempted: list[Position] = []
        self._retry_at = 0.0

    def __repr__(self) -> str:
        return f"<Tail of {self.position.writer} at {self.position.sequence}>"

    async def commit(self, position: Position, rows: Sequence[Stored]) -> None:
        """Keep rows that follow from the position, which is then `position`. Raises AuditUnavailable."""
        try:
            await self._sink.append(rows)
        except BaseException as error:
            # Also when cut off: the rows may be kept or not, and the next one must find out first.
            self._fail(error)
            self._attempted.append(position)
            raise
        self._stand(position)
        self._attempted.clear()

    async def recover(self, *, at_once: bool = False) -> None:
        """After a failure, find out whether the rows were kept after all, and go on behind what is there.

        Does nothing where nothing failed. Raises AuditUnavailable where the sink does not work yet, without asking it
        within RETRY_S of the last failure unless `at_once`.
        """
        if self.failure is None:
            return
        if not at_once and self._clock.monotonic() < self._retry_at:
            raise AuditUnavailable(self.failure)
        try:
            await self._sink.recover()
            there = await self._there()
        except AuditUnavailable as error:
            self._fail(error)
            raise
        # A transaction that was given up may be committed later, hence every attempt since the last success.
        kept = next((one for one in self._attempted if there == (one.sequence, one.hash)), None)
        if kept is not None:
            self._stand(kept)
        elif there != (self.position.sequence, self.position.hash):
            raise AuditUnavailable(
                f"audit writer {self.position.writer}: the last row kept is {there[0]}, not {self.position.sequence}",
                hint="Something else changed the log; restart, so that a new writer begins, and run audit verify.",
            )
        _log.info("audit.recovered", writer=self.position.writer, sequence=self.position.sequence)
        self.failure = None

    async def _there(self) -> tuple[int, str]:
        for last in await self._sink.last():
            if last.writer == self.position.writer:
                return last.sequence, last.hash
        return 0, chain.genesis(self.position.writer).hash

    def _stand(self, position: Position) -> None:
        if position.signed != self.position.signed:
            self.sealed_at = self._clock.monotonic()
        self.position = position

    def _fail(self, error: BaseException) -> None:
        self.failure = error.message if isinstance(error, AuditUnavailable) else repr(error)
        self._retry_at = self._clock.monotonic() + RETRY_S
        _log.error("audit.failed", writer=self.position.writer, sequence=self.position.sequence, error=self.failure)
