"""Every secret in force, in the words in which it could turn up somewhere: for whoever must hide them."""

import base64
from collections.abc import Iterator
from typing import Final, cast

from portside.secret import Secret
from portside.settings.model import TABLE, Settings

_URLS: Final = frozenset({"database_url", "redis_url"})
"""Secret because of a password in them, which is hidden as that; the rest of them is what an error is about."""


def secret_texts(settings: Settings) -> Iterator[str]:
    """Yield the texts of all secrets; of a key, which may have been given in hex or base64, both."""
    for attribute, entry in TABLE.items():
        if entry.is_secret and attribute not in _URLS:
            for secret in _secrets(getattr(settings, attribute)):
                yield from _texts(secret.reveal())


def _secrets(value: object) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, tuple):
        for one in cast("tuple[object, ...]", value):
            yield from _secrets(one)


def _texts(value: bytes) -> Iterator[str]:
    yield value.hex()
    for encoded in (base64.b64encode(value), base64.urlsafe_b64encode(value)):
        yield encoded.decode("ascii").rstrip("=")
    text = value.decode("utf-8", "replace")
    if text.isprintable():
        yield text
