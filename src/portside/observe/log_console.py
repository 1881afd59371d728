"""The log on stderr."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, TextIO, cast

from portside.observe.log_lines import formatted

GATHER_S: Final = 0.002
"""How long the line of a request may wait for others: lines made and written together cost half. A crash loses them."""


class Console(logging.StreamHandler[TextIO]):
    """stderr, each event written at once. Lines of requests may wait for GATHER_S, so that many share a write."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._waiting: list[Callable[[], str]] = []
        # The handler's own lock, held without its two methods, which would cost every request as much as the line.
        self._guard = cast("AbstractContextManager[object]", self.lock)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as one line."""
        self.append(formatted(self, record))

    def append(self, line: str) -> None:
        """Write a line, and before it those that wait."""
        with self._guard:
            waiting, self._waiting = self._waiting, []
            lines = [make() for make in waiting]
            try:
                self.stream.write("\n".join([*lines, line, ""]))
                self.stream.flush()
            except (OSError, ValueError):
                # stderr is gone: there is nowhere left to say so, and requests must go on.
                return

    def append_soon(self, make: Callable[[], str]) -> None:
        """Write the line that `make` returns within GATHER_S; at once where no event loop runs."""
        with self._guard:
            self._waiting.append(make)
            is_first = len(self._waiting) == 1
        if is_first:
            try:
                asyncio.get_running_loop().call_later(GATHER_S, self.flush)
            except RuntimeError:
                self.flush()

    def flush(self) -> None:
        """Write what waits; all else has been written."""
        with self._guard:
            if self._waiting:
                last = self._waiting.pop()
                self.append(last())
