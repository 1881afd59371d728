"""One request that two readers could read in two ways, or that only looks as if they could."""

from dataclasses import dataclass
from typing import Final, Literal

Expected = Literal["refused", "one", "two", "one, then refused"]

MARK: Final = b"@@@@@"
"""Stands for the payload's own name in the paths it asks for: five letters, since lengths are counted."""

HIDDEN: Final = b"GET /hit/@@@@@-hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
"""What must never be taken for a request."""


@dataclass(frozen=True, slots=True)
class Payload:
    """Bytes to send, `later` ones in a second write, and what portside answers when asked directly."""

    name: str
    data: bytes
    expected: Expected = "refused"
    later: bytes = b""


def head(*lines: bytes, first: bytes = b"POST /hit/@@@@@ HTTP/1.1", host: bytes = b"Host: localhost\r\n") -> bytes:
    """Return a head with these lines, each without its end."""
    return first + b"\r\n" + host + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def get(*lines: bytes, suffix: bytes = b"") -> bytes:
    """Return a whole GET."""
    return head(*lines, first=b"GET /hit/@@@@@" + suffix + b" HTTP/1.1")


def chunk(data: bytes) -> bytes:
    """Return one chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)
