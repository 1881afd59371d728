"""The MCP request headers, and the codec for values outside visible ASCII."""

import base64
import binascii
from typing import Final

VERSION: Final = b"mcp-protocol-version"
METHOD: Final = b"mcp-method"
NAME: Final = b"mcp-name"
SESSION: Final = b"mcp-session-id"
LAST_EVENT: Final = b"last-event-id"
PARAM_PREFIX: Final = b"mcp-param-"

_OPEN, _CLOSE = "=?base64?", "?="


def decode_value(value: str) -> str | None:
    """Return what a mirrored header value says, or None where its base64 form is broken.

    A value between `=?base64?` and `?=` is the base64 of UTF-8 text; only the canonical encoding is accepted, so that
    two readers cannot disagree (MCP 2026-07-28, Streamable HTTP, Header Value Encoding).
    """
    if not (value.startswith(_OPEN) and value.endswith(_CLOSE) and len(value) >= len(_OPEN) + len(_CLOSE)):
        return value
    payload = value[len(_OPEN) : -len(_CLOSE)]
    try:
        raw = base64.b64decode(payload, validate=True)
        text = raw.decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    return text if base64.b64encode(raw).decode("ascii") == payload else None


def encode_value(value: str) -> str:
    """Return `value` as a header value that `decode_value` reads back."""
    plain = value.isascii() and value.isprintable() and value == value.strip()
    if plain and not (value.startswith(_OPEN) and value.endswith(_CLOSE)):
        return value
    return f"{_OPEN}{base64.b64encode(value.encode('utf-8')).decode('ascii')}{_CLOSE}"
