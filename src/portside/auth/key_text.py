"""What an API key looks like: found by secret scanners, refused unasked when mistyped, kept as a digest."""

import hashlib
import re
import secrets
import string
import zlib
from typing import Final

PREFIX: Final = "psk_"
PATTERN: Final = r"psk_[0-9A-Za-z]{8}_[0-9A-Za-z]{49}"
"""Every key, as secret scanners want it: an id that may be shown, then 43 secret letters and 6 of checksum."""

_DIGITS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID_LENGTH: Final = 8
_SECRET_LENGTH: Final = 43  # in base 62 that is 256 bits
_CHECK_LENGTH: Final = 6
_KEY: Final = re.compile(PATTERN)


def generate() -> tuple[str, str]:
    """Return the id of a new key, and the key."""
    id = _random(_ID_LENGTH)
    body = f"{PREFIX}{id}_{_random(_SECRET_LENGTH)}"
    return id, body + _checksum(body)


def id_of(text: str) -> str | None:
    """Return the id of a key; None for what is none, or has a letter wrong."""
    if _KEY.fullmatch(text) is None or _checksum(text[:-_CHECK_LENGTH]) != text[-_CHECK_LENGTH:]:
        return None
    return text[len(PREFIX) : len(PREFIX) + _ID_LENGTH]


def digest(text: str) -> str:
    """Return what is kept of a key: SHA-256 in hex.

    A slow hash makes guessing dear where people choose the secret. Here 256 random bits do that, and a slow one would
    let anybody burn our CPU.
    """
    return hashlib.sha256(text.encode()).hexdigest()


def _random(length: int) -> str:
    return "".join(secrets.choice(_DIGITS) for _ in range(length))


def _checksum(body: str) -> str:
    """Return the CRC-32 in base 62: it differs for any two texts that differ within four neighbouring letters."""
    number, letters = zlib.crc32(body.encode()), ""
    for _ in range(_CHECK_LENGTH):
        number, rest = divmod(number, len(_DIGITS))
        letters = _DIGITS[rest] + letters
    return letters
