"""Handing a finished record to everybody who wants it."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from portside.clock import Clock
from portside.observe.record import Record

Sink = Callable[[Record], None]

COMPLAIN_EVERY_S: Final = 60.0

_log = logging.getLogger("portside.observe")


class Emitter:
    """Calls every sink once per request. A sink that fails is reported once a minute and disturbs nobody."""

    def __init__(self, sinks: Sequence[Sink], clock: Clock) -> None:
        self._sinks = tuple(sinks)
        self._clock = clock
        self._complained: dict[Sink, float] = {}

    def __call__(self, record: Record) -> None:
        for sink in self._sinks:
            try:
                sink(record)
            except Exception:
                self._complain(sink)

    def _complain(self, sink: Sink) -> None:
        now = self._clock.monotonic()
        if now - self._complained.get(sink, float("-inf")) >= COMPLAIN_EVERY_S:
            self._complained[sink] = now
            _log.exception("a record sink failed; the request was not affected")
