"""Sealing what a client carries for us, so that it can be neither read nor made up."""

import base64
import binascii
import json
import os
from collections.abc import Sequence
from typing import Any, cast

from portside.seal import Box


class Seal:
    """Claims as an opaque text, sealed for one `purpose`: the first key seals, every key opens (rotation).

    `secrets` are at least 32 random bytes each (`ENCRYPTION_KEY`); without any, a key that dies with the process.
    """

    def __init__(self, purpose: str, secrets: Sequence[bytes] = ()) -> None:
        self.prefix = f"{purpose}.1."
        self._context = self.prefix.encode()
        self._box = Box(purpose, secrets or [os.urandom(32)])

    def close(self, claims: dict[str, Any]) -> str:
        """Return `claims` as an opaque text."""
        sealed = self._box.seal(json.dumps(claims, separators=(",", ":")).encode(), self._context)
        return self.prefix + base64.urlsafe_b64encode(sealed).decode("ascii").rstrip("=")

    def open(self, text: str) -> dict[str, Any] | None:
        """Return the claims, None for anything that was not sealed here with one of the keys."""
        if not text.startswith(self.prefix):
            return None
        encoded = text[len(self.prefix) :]
        try:
            raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        body = self._box.open(raw, self._context)
        return cast("dict[str, Any]", json.loads(body)) if body is not None else None
