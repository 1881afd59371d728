"""How one event becomes a line of a log: JSON, or text for a person. No secret is left in either."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, cast

import msgspec
import structlog
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.typing import EventDict, WrappedLogger

from portside.observe.mask import Mask

_encode: Final = msgspec.json.Encoder(enc_hook=repr).encode
_CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}


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


def formatted(handler: logging.Handler, record: logging.LogRecord) -> str:
    """Return what a handler writes of a record. Never fails."""
    try:
        return handler.format(record)
    except Exception as error:
        # Whoever logged it must not fail of that. The library would print the arguments, whatever they are.
        told = {"timestamp": timestamp(record.created), "level": "error", "event": "log.line_failed"}
        where = f"{record.pathname}:{record.lineno}"
        return encode({**told, "logger": record.name, "where": where, "error": type(error).__name__})


def json_formatter(identity: Mapping[str, str], mask: Mask) -> logging.Formatter:
    """Return what makes JSON of a record; `identity` are fields that every line has."""

    def line(logger: WrappedLogger, method: str, event: EventDict) -> str:
        return mask.line(encode(_headed(event, identity)))

    return _formatter([line])


def text_formatter(mask: Mask) -> logging.Formatter:
    """Return what makes text of a record, for a terminal."""

    def printable(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        # A client's words must not steer the terminal they are shown on.
        return {
            key: value.translate(_CONTROL) if isinstance(value, str) else value
            for key, value in _headed(event, {}).items()
        }

    def secretless(logger: WrappedLogger, method: str, event: str) -> str:
        return mask.text(event)

    return _formatter([printable, ConsoleRenderer(exception_formatter=plain_traceback), secretless])


def _formatter(render: Sequence[Any]) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
        processors=[structlog.processors.format_exc_info, *render],
    )


def _headed(event: EventDict, identity: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of an event, those first that every line has."""
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
