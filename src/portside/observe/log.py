"""Structured logs: one JSON line an event, for everything in the process; readable ones on a terminal."""

import contextlib
import logging
import logging.handlers
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import structlog

from portside.observe.record import LOG_FIELDS, Record

Format = Literal["auto", "json", "console"]

FILE_BYTES: Final = 10 * 1024 * 1024
FILES: Final = 3
EVENT: Final = "http.request"

_encode: Final = msgspec.json.Encoder(enc_hook=str).encode
_request_log = logging.getLogger("portside.http")


def configure(level: str, fmt: Format, *, service: str, server_id: str, log_dir: Path | None = None) -> None:
    """Send every log of the process, ours and everybody's, to stderr; on request to files under `log_dir` too.

    Raises OSError where the folder cannot be made.
    """
    is_console = fmt == "console" or (fmt == "auto" and sys.stderr.isatty())
    stream = _QuietStream(sys.stderr)
    stream.setFormatter(_formatter(is_console, service, server_id))
    handlers: list[logging.Handler] = [stream]
    if log_dir is not None:
        log_dir.mkdir(parents=True, exist_ok=True)
        for name, least in (("combined.log", logging.NOTSET), ("error.log", logging.ERROR)):
            file = _QuietFile(log_dir / name, maxBytes=FILE_BYTES, backupCount=FILES, encoding="utf-8", delay=True)
            file.setLevel(least)
            file.setFormatter(_formatter(False, service, server_id))
            handlers.append(file)
    root = logging.getLogger()
    root.handlers = handlers
    root.setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    reclaim()


def reclaim() -> None:
    """Take the logs back from libraries that installed handlers of their own when they were imported."""
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if isinstance(handler, _QuietStream | _QuietFile)]
    for name in list(logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        if name.partition(".")[0] in ("mcp", "fastmcp", "uvicorn", "FastMCP"):
            logger.handlers, logger.propagate = [], True


def request_sink(record: Record) -> None:
    """Log one request: level error where we failed, else info."""
    level = logging.ERROR if record.status >= 500 and record.outcome != "refused" else logging.INFO
    if _request_log.isEnabledFor(level):
        _request_log.log(level, EVENT, extra={"portside": fields(record)})


def fields(record: Record) -> dict[str, Any]:
    """Return what the log says of a request: the fields of LOG_FIELDS that have a value."""
    values: dict[str, Any] = {}
    for name in LOG_FIELDS:
        value = round(record.duration_s * 1000, 3) if name == "duration_ms" else getattr(record, name)
        if value is not None and value is not False and value != "":
            values[name] = value
    return values


def _extra(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    record: Any = event.get("_record")
    more: object = getattr(record, "portside", None)
    if isinstance(more, dict):
        event.update(more)  # pyright: ignore[reportUnknownArgumentType]
    return event


def _timestamp(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["timestamp"] = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return event


_SHARED: Final[list[structlog.types.Processor]] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
    _timestamp,
    structlog.processors.StackInfoRenderer(),
]


def _formatter(is_console: bool, service: str, server_id: str) -> logging.Formatter:
    def identify(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"], event["server_id"] = service, server_id
        return event

    def render(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
        head = {key: event.pop(key) for key in ("timestamp", "level", "event") if key in event}
        return _encode({**head, **event}).decode()

    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    last: list[structlog.types.Processor] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
        if is_console
        else [identify, structlog.processors.format_exc_info, render]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *_SHARED],
        processors=[_extra, remove, *last],
    )


class _Quiet(logging.Handler):
    """A handler that says once that it cannot write, instead of a stack trace for every event."""

    _has_complained = False

    def handleError(self, record: logging.LogRecord) -> None:
        if self._has_complained:
            return
        self._has_complained = True
        error = sys.exc_info()[1]
        with contextlib.suppress(OSError, ValueError):
            print(f"portside: logs are being lost: {error}", file=sys.stderr)


class _QuietStream(_Quiet, logging.StreamHandler[Any]):
    """Stderr; a reader that went away must not stop the server."""


class _QuietFile(_Quiet, logging.handlers.RotatingFileHandler):
    """A file that rotates at 10 MB; a full disk must not stop the server."""
