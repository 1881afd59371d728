"""The end of every request: its record goes through a plain list of sinks."""

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from portside.clock import Clock, SystemClock
from portside.observe.record import Record

Sink = Callable[[Record], None]

QUIET_S: Final = 60.0
"""A sink that keeps failing is told of this often."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger("portside.observe")


class Emitter:
    """Hands a record to every sink, in order. Called once per request; never raises.

    A sink that raises keeps neither the request nor the other sinks from going on; it is logged once a minute,
    with the number of failures since it was last told.
    """

    __slots__ = ("_clock", "_failures", "_sinks", "_told")

    def __init__(self, sinks: Sequence[Sink], clock: Clock | None = None) -> None:
        self._sinks = tuple(sinks)
        self._clock: Clock = clock or SystemClock()
        self._told: dict[Sink, float] = {}
        self._failures: dict[Sink, int] = {}

    def __call__(self, record: Record) -> None:
        """Emit one finished record."""
        for sink in self._sinks:
            try:
                sink(record)
            except Exception as error:
                self._tell(sink, error)

    def _tell(self, sink: Sink, error: Exception) -> None:
        self._failures[sink] = self._failures.get(sink, 0) + 1
        told, now = self._told.get(sink), self._clock.monotonic()
        if told is not None and now - told < QUIET_S:
            return
        self._told[sink] = now
        name = getattr(sink, "__qualname__", type(sink).__name__)
        _log.error("observe.sink_failed", sink=name, failures=self._failures.pop(sink), exc_info=error)
