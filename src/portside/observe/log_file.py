"""A log in a file, rotated, on a disk that may be full."""

import logging
import time
from errno import EDQUOT, ENOSPC
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final, TextIO

from portside.errors import StartFailed
from portside.observe.log_console import Console
from portside.observe.log_lines import formatted

FILE_LIMIT_BYTES: Final = 10 * 1024 * 1024
FILES_KEPT: Final = 3
"""A log is at most three files of 10 MB: the one written to and two older ones."""

QUIET_S: Final = 60.0
"""A log file that cannot be written is told of at most this often."""


class File(RotatingFileHandler):
    """A rotated log file whose failures, such as a full disk, are told on the console and never raised."""

    def __init__(self, path: Path, console: Console) -> None:
        super().__init__(path, maxBytes=FILE_LIMIT_BYTES, backupCount=FILES_KEPT - 1, encoding="utf-8", delay=True)
        self._console = console
        self._is_failing = False
        self._told: float | None = None

    @classmethod
    def open(cls, path: Path, console: Console) -> "File":
        """Return a handler for `path`. Raises StartFailed when the file cannot be had for good."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("a").close()
        except OSError as error:
            if error.errno not in (ENOSPC, EDQUOT):
                raise StartFailed(
                    f"cannot write logs to {path}: {error.strerror or error}",
                    hint="name a folder this user may write to, or log to the console alone",
                ) from error
        return cls(path, console)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as one line."""
        self.append(formatted(self, record))

    def append(self, line: str) -> None:
        """Write a line, into a new file where this one is full."""
        self.acquire()
        try:
            self._write(line)
        except (OSError, ValueError) as error:
            self._fail(error)
        finally:
            self.release()

    def _write(self, line: str) -> None:
        stream = self.stream or self._opened()
        if stream.tell() + len(line) + 1 > self.maxBytes and stream.tell() > 0:
            self.doRollover()
            # Told to open late, the library's handler leaves no open file behind when it rotates.
            stream = self.stream or self._opened()
        # The line at which writing failed may lack its end.
        stream.write(f"\n{line}\n" if self._is_failing else f"{line}\n")
        stream.flush()
        self._is_failing = False

    def _opened(self) -> TextIO:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        self.stream = self._open()
        return self.stream

    def _fail(self, error: Exception) -> None:
        self._drop_stream()
        now = time.monotonic()
        is_due = not self._is_failing and (self._told is None or now - self._told >= QUIET_S)
        self._is_failing = True
        if is_due:
            self._told = now
            # To the console alone: through the logger it would come back here, or wait for the other file's lock.
            told = {"file": self.baseFilename, "error": f"{type(error).__name__}: {error}"}
            level = {"name": "portside.log", "levelno": logging.ERROR, "levelname": "ERROR"}
            self._console.handle(logging.makeLogRecord({**level, "msg": "log.file_failed", **told}))

    def _drop_stream(self) -> None:
        stream, self.stream = self.stream, None  # pyright: ignore[reportAttributeAccessIssue]
        try:
            if stream is not None:
                stream.close()
        except (OSError, ValueError):
            # Closing writes what is left, and fails for the same reason.
            return
