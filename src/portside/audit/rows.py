"""One writer's rows: made from events, sealed where a signature is due, and handed to the sink group by group."""

from collections.abc import Iterable, Sequence

import msgspec

from portside.audit import chain
from portside.audit.base import Last, Sink, Stored
from portside.audit.chain import Head, Mark, Position, Seal, State
from portside.audit.event import Event, encode
from portside.audit.keys import Signer
from portside.audit.shipping import Ship, Shipping
from portside.audit.tail import Tail
from portside.clock import Clock


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """Where an event is on record."""

    writer: str
    sequence: int
    hash: str


class Rows:
    """The end of the chain that a writer of this name adds to. Used by one task at a time.

    Signed rows are shipped as well, where there is a `ship`.
    """

    def __init__(self, name: str, sink: Sink, signer: Signer, clock: Clock, ship: Ship | None) -> None:
        self._name = name
        self._sink = sink
        self._signer = signer
        self._clock = clock
        self._shipping = None if ship is None else Shipping(ship)
        self._tail = Tail(name, sink, clock)
        self._known: dict[str, Last] = {}

    @property
    def failure(self) -> str | None:
        """Why nothing can be put on record at the moment; None while it can."""
        return self._tail.failure

    @property
    def sequence(self) -> int:
        """The sequence of the last row that was kept, 0 before the first."""
        return self._tail.position.sequence

    @property
    def age_s(self) -> float:
        """How long ago the last signed row was kept."""
        return self._clock.monotonic() - self._tail.sealed_at

    def now_us(self) -> int:
        """Return the time that a row would have that was made now."""
        return round(self._clock.now() * 1_000_000)

    async def keep(self, events: Iterable[tuple[bytes, int]]) -> list[Receipt]:
        """Keep events, each with its time (us since the epoch), in one group. Raises AuditUnavailable."""
        await self._tail.recover()
        position, rows, receipts = self._tail.position, list[Stored](), list[Receipt]()
        for event, time_us in events:
            position, row = chain.follow(position, time_us=time_us, event=event)
            rows.append(row)
            receipts.append(Receipt(row.writer, row.sequence, row.hash))
            if position.unsigned >= chain.MAX_UNSIGNED - 1:
                position, row = self._sealed(position, "running", None)
                rows.append(row)
        await self._commit(position, rows)
        return receipts

    async def seal(self, state: State, event: Event | None = None, *, at_once: bool = False) -> None:
        """Keep a signed row that names what is new of other writers. Raises AuditUnavailable.

        After a failure the sink is left alone for a moment, unless `at_once`.
        """
        await self._tail.recover(at_once=at_once)
        changed = [last for last in await self._sink.last() if last.writer != self._name and self._is_news(last)]
        heads = [Head(last.hash, last.sequence, last.writer, last.ended) for last in changed]
        position, row = self._sealed(self._tail.position, state, heads, b"" if event is None else encode(event))
        await self._commit(position, [row])
        self._known.update((last.writer, last) for last in changed)

    async def close(self, timeout_s: float) -> None:
        """Let go of the sink, and ship what is left within `timeout_s`."""
        await self._sink.close()
        if self._shipping is not None:
            await self._shipping.close(timeout_s)

    def _is_news(self, last: Last) -> bool:
        return self._known.get(last.writer) != last

    def _sealed(
        self, position: Position, state: State, heads: list[Head] | None, event: bytes = b""
    ) -> tuple[Position, Stored]:
        handovers = self._signer.handovers if state == "start" else []
        seal = Seal(handovers=handovers, head=position.hash, heads=heads, previous=position.signed, state=state)
        position, row = chain.follow(position, time_us=self.now_us(), event=event, seal=seal)
        signed = Mark(row.hash, row.sequence)
        return msgspec.structs.replace(position, unsigned=0, signed=signed), self._signer.seal(row)

    async def _commit(self, position: Position, rows: Sequence[Stored]) -> None:
        await self._tail.commit(position, rows)
        if self._shipping is not None:
            for row in rows:
                if row.key is not None:
                    self._shipping.put(row)
