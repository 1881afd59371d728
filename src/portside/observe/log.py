"""Logs: one JSON object a line on stderr, or text for a person; the same shape for whoever logs in this process.

Logging is the process's, not an object's: `configure` sets it up once, `reclaim` takes it back after foreign code ran.
What looks like a secret is hidden in whatever is logged, stack traces included (`observe/mask.py`).
"""

import asyncio
import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from errno import EDQUOT, ENOSPC
from functools import lru_cache
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final, Literal, TextIO, cast

import msgspec
import structlog
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.typing import EventDict, WrappedLogger

from portside.errors import StartFailed
from portside.observe.mask import Mask
from portside.observe.record import ERROR_LIMIT, NAME_LIMIT, Record, as_fields

Format = Literal["auto", "json", "console"]

GATHER_S: Final = 0.002
"""How long the line of a request may wait for others: writing costs more than making it. A crash may lose those."""

FILE_LIMIT_BYTES: Final = 10 * 1024 * 1024
FILES_KEPT: Final = 3
"""A log is at most three files of 10 MB: the one written to and two older ones."""

QUIET_S: Final = 60.0
"""A log file that cannot be written is told of at most this often."""

_encode: Final = msgspec.json.Encoder(enc_hook=repr).encode
_CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}
_log: structlog.stdlib.BoundLogger = structlog.get_logger("portside.http")


def configure(
    level: str,
    fmt: Format = "auto",
    service: str = "portside",
    server_id: str | None = None,
    log_dir: str | Path | None = None,
    secrets: Iterable[str] = (),
) -> None:
    """Log from `level` up on stderr, and with `log_dir` to `error.log` and `combined.log` there. May be called again.

    `auto` is console text where stderr is a terminal, else JSON; files are always JSON. `secrets` are hidden in every
    line, beside what looks like one. Raises ValueError for an unknown level, StartFailed when files cannot be written
    in `log_dir` (a full disk aside, which restarting cannot cure).
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"log level {level!r}: expected debug, info, warning, error or critical")
    is_console = fmt == "console" or (fmt == "auto" and sys.stderr.isatty())
    identity = {"service": service, **({"server_id": server_id} if server_id else {})}
    made = _Output(number, is_console, identity, Path(log_dir) if log_dir else None, Mask(secrets))
    _close()
    _active.append(made)
    made.install()


def reclaim() -> None:
    """Undo what imported code did to logging, so that everybody's lines keep one shape.

    Takes away handlers that write to stdout or stderr from every logger (SDKs install some on import), puts ours and
    the level back, and lets silenced loggers of portside speak. Handlers that write elsewhere stay.
    """
    for output in _active:
        output.install()


def request_sink(record: Record) -> None:
    """Log one finished request as `http.request`: error for a 5xx, else info. Silent before `configure`."""
    for output in _active:
        output.request(record)


@lru_cache(maxsize=2)
def _second(whole: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))


def timestamp(seconds: float) -> str:
    """Return seconds since the epoch as ISO 8601 in UTC with milliseconds."""
    whole = int(seconds)
    return f"{_second(whole)}.{int((seconds - whole) * 1000):03d}Z"


def encode(event: Mapping[str, object]) -> str:
    """Return `event` as one line of JSON; what JSON does not know is shown by its `repr`. Never fails on content."""
    try:
        return _encode(event).decode()
    except (TypeError, ValueError, RecursionError):
        # Lone surrogates, odd keys, values that hold themselves: escaped and shortened rather than lost.
        return json.dumps({str(key): repr(value)[:1000] for key, value in event.items()})


class _Output:
    """Where this process logs to."""

    def __init__(
        self, level: int, is_console: bool, identity: Mapping[str, str], folder: Path | None, mask: Mask
    ) -> None:
        self._level = level
        self._is_console = is_console
        self._identity = identity
        self._mask = mask
        as_json = [_Json(identity, mask)]
        self._console = _Console(sys.stderr)
        self._console.setFormatter(_formatter(_text_renderer(mask) if is_console else as_json))
        self._errors = _File.open(folder / "error.log", self._console) if folder else None
        self._combined = _File.open(folder / "combined.log", self._console) if folder else None
        for file in (self._errors, self._combined):
            if file is not None:
                file.setFormatter(_formatter(as_json))
        if self._errors is not None:
            self._errors.setLevel(logging.ERROR)
        self._handlers = [handler for handler in (self._console, self._errors, self._combined) if handler is not None]

    def install(self) -> None:
        root = logging.getLogger()
        known = [logger for logger in root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
        for logger in (root, *known):
            _take_console(logger, keep=self._handlers)
            if logger.name.partition(".")[0] in ("portside", "uvicorn"):
                logger.disabled = False
        for handler in self._handlers:
            root.addHandler(handler)
        root.setLevel(self._level)
        logging.captureWarnings(True)
        structlog.configure(
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.PositionalArgumentsFormatter(),
                structlog.processors.StackInfoRenderer(),
                structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
            cache_logger_on_first_use=False,
        )

    def request(self, record: Record) -> None:
        is_failure = record.status >= 500
        if self._level > (logging.ERROR if is_failure else logging.INFO):
            return
        # Only these hold a client's own words; all else is bounded by those who set it. Masked before they are cut.
        fields = as_fields(record)
        if record.name is not None:
            fields["name"] = self._mask.text(record.name)[:NAME_LIMIT]
        if record.error is not None:
            fields["error"] = self._mask.text(record.error)[:ERROR_LIMIT]
        if self._is_console:
            (_log.error if is_failure else _log.info)("http.request", **fields)
            return
        # Straight to the handlers: the whole chain costs many times more, and every request pays.
        line = encode(
            {
                "timestamp": timestamp(time.time()),
                "level": "error" if is_failure else "info",
                "event": "http.request",
                **self._identity,
                **fields,
            }
        )
        if is_failure:
            self._console.append(line)
        else:
            self._console.append_soon(line)
        if self._combined is not None:
            self._combined.append(line)
        if self._errors is not None and is_failure:
            self._errors.append(line)

    def close(self) -> None:
        for handler in self._handlers:
            logging.getLogger().removeHandler(handler)
            handler.close()


_active: Final[list[_Output]] = []


def _close() -> None:
    while _active:
        _active.pop().close()


class _Console(logging.StreamHandler[TextIO]):
    """stderr, each event written at once. Lines of requests may wait for GATHER_S, so that many share a write."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._waiting: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.append(_formatted(self, record))

    def append(self, line: str) -> None:
        """Write a line, and before it those that wait."""
        self.acquire()
        try:
            self._waiting.append(line)
            lines, self._waiting = "\n".join(self._waiting), []
            self.stream.write(lines + "\n")
            self.stream.flush()
        except (OSError, ValueError):
            # stderr is gone: there is nowhere left to say so, and requests must go on.
            return
        finally:
            self.release()

    def append_soon(self, line: str) -> None:
        """Write a line within GATHER_S; at once where no event loop runs."""
        self.acquire()
        try:
            self._waiting.append(line)
            is_first = len(self._waiting) == 1
        finally:
            self.release()
        if is_first:
            try:
                asyncio.get_running_loop().call_later(GATHER_S, self.flush)
            except RuntimeError:
                self.flush()

    def flush(self) -> None:
        """Write what waits; all else has been written."""
        self.acquire()
        try:
            if self._waiting:
                self.append(self._waiting.pop())
        finally:
            self.release()


class _File(RotatingFileHandler):
    """A rotated log file whose failures, such as a full disk, are told on the console and never raised."""

    def __init__(self, path: Path, console: _Console) -> None:
        super().__init__(path, maxBytes=FILE_LIMIT_BYTES, backupCount=FILES_KEPT - 1, encoding="utf-8", delay=True)
        self._console = console
        self._is_failing = False
        self._told: float | None = None

    @classmethod
    def open(cls, path: Path, console: _Console) -> "_File":
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
        self.append(_formatted(self, record))

    def append(self, line: str) -> None:
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


def _formatted(handler: logging.Handler, record: logging.LogRecord) -> str:
    try:
        return handler.format(record)
    except Exception as error:
        # Whoever logged it must not fail of that. The library would print the arguments, whatever they are.
        told = {"timestamp": timestamp(record.created), "level": "error", "event": "log.line_failed"}
        where = f"{record.pathname}:{record.lineno}"
        return encode({**told, "logger": record.name, "where": where, "error": type(error).__name__})


def _take_console(logger: logging.Logger, *, keep: Sequence[logging.Handler]) -> None:
    for handler in list(logger.handlers):
        if handler in keep:
            continue
        # Plain handlers have a stream, rich's a console with a file.
        stream = getattr(handler, "stream", None) or getattr(getattr(handler, "console", None), "file", None)
        if stream is not None and stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            logger.removeHandler(handler)
            logger.propagate = True


def _formatter(render: Sequence[Any]) -> structlog.stdlib.ProcessorFormatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
        processors=[structlog.processors.format_exc_info, *render],
    )


class _Json:
    """Renders an event as a line, the fields every line has first."""

    def __init__(self, identity: Mapping[str, str], mask: Mask) -> None:
        self._identity = identity
        self._mask = mask

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        return self._mask.line(encode(_headed(event, self._identity)))


def _text_renderer(mask: Mask) -> list[Callable[[WrappedLogger, str, Any], Any]]:
    def printable(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        # A client's words must not steer the terminal they are shown on.
        return {
            key: value.translate(_CONTROL) if isinstance(value, str) else value
            for key, value in _headed(event, {}).items()
        }

    def secretless(logger: WrappedLogger, method: str, event: str) -> str:
        return mask.text(event)

    return [printable, ConsoleRenderer(exception_formatter=plain_traceback), secretless]


def _headed(event: EventDict, identity: Mapping[str, str]) -> dict[str, Any]:
    record: logging.LogRecord = event.pop("_record")
    event.pop("_from_structlog", None)
    event.pop("color_message", None)  # uvicorn's second copy of the message
    # Our own modules that log through the standard library put their fields under this one key.
    ours: object = event.pop("portside", None)
    if isinstance(ours, dict):
        event.update(cast("dict[str, Any]", ours))
    elif ours is not None:
        event["portside"] = ours
    head: dict[str, Any] = {
        "timestamp": timestamp(record.created),
        "level": record.levelname.lower(),
        "event": event.pop("event", ""),
        **identity,
        "logger": record.name,
    }
    return {**head, **{key: value for key, value in event.items() if key not in head}}
