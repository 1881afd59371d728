"""Logs: one JSON object a line on stderr, or text for a person; the same shape for whoever logs in this process.

Logging is the process's, not an object's: `configure` sets it up once, `reclaim` takes it back after foreign code ran.
What looks like a secret is hidden in whatever is logged, stack traces included (`observe/mask.py`).
"""

import logging
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal

import structlog

from portside.observe.log_console import Console
from portside.observe.log_file import File
from portside.observe.log_lines import encode, json_formatter, text_formatter, timestamp
from portside.observe.mask import Mask
from portside.observe.record import ERROR_LIMIT, NAME_LIMIT, Record, as_fields

Format = Literal["auto", "json", "console"]

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


class _Output:
    """Where this process logs to."""

    def __init__(
        self, level: int, is_console: bool, identity: Mapping[str, str], folder: Path | None, mask: Mask
    ) -> None:
        self._level = level
        self._is_console = is_console
        self._identity = identity
        self._mask = mask
        as_json = json_formatter(identity, mask)
        self._console = Console(sys.stderr)
        self._console.setFormatter(text_formatter(mask) if is_console else as_json)
        self._errors = File.open(folder / "error.log", self._console) if folder else None
        self._combined = File.open(folder / "combined.log", self._console) if folder else None
        for file in (self._errors, self._combined):
            if file is not None:
                file.setFormatter(as_json)
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
        _configure_structlog()

    def request(self, record: Record) -> None:
        is_failure = record.status >= 500
        if self._level > (logging.ERROR if is_failure else logging.INFO):
            return
        if self._is_console:
            (_log.error if is_failure else _log.info)("http.request", **self._masked(record, as_fields(record, {})))
            return
        # Straight to the handlers: the whole chain costs many times more, and every request pays.
        make = partial(self._line, record, time.time(), "error" if is_failure else "info")
        if not is_failure and self._combined is None:
            self._console.append_soon(make)
        else:
            self._append(make(), is_failure=is_failure)

    def close(self) -> None:
        for handler in self._handlers:
            logging.getLogger().removeHandler(handler)
            handler.close()

    def _line(self, record: Record, when: float, level: str) -> str:
        head = {"timestamp": timestamp(when), "level": level, "event": "http.request", **self._identity}
        return encode(self._masked(record, as_fields(record, head)))

    def _masked(self, record: Record, fields: dict[str, object]) -> dict[str, object]:
        # Only these hold a client's own words; all else is bounded by those who set it. Masked before they are cut.
        if record.name is not None:
            fields["name"] = self._mask.name(record.name)[:NAME_LIMIT]
        if record.error is not None:
            fields["error"] = self._mask.text(record.error)[:ERROR_LIMIT]
        return fields

    def _append(self, line: str, *, is_failure: bool) -> None:
        if is_failure:
            self._console.append(line)
        else:
            self._console.append_soon(partial(str, line))
        if self._combined is not None:
            self._combined.append(line)
        if self._errors is not None and is_failure:
            self._errors.append(line)


_active: Final[list[_Output]] = []


def _close() -> None:
    while _active:
        _active.pop().close()


def _configure_structlog() -> None:
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


def _take_console(logger: logging.Logger, *, keep: Sequence[logging.Handler]) -> None:
    for handler in list(logger.handlers):
        if handler in keep:
            continue
        # Plain handlers have a stream, rich's a console with a file.
        stream = getattr(handler, "stream", None) or getattr(getattr(handler, "console", None), "file", None)
        if stream is not None and stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            logger.removeHandler(handler)
            logger.propagate = True
