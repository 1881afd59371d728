"""Sealing what a client carries for us, so that it can be neither read nor made up."""

import base64
import binascii
import json
import os
from collections.abc import Sequence
from typing import Any, Final, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE: Final = 12


class Seal:
    """AES-256-GCM under keys derived for one `purpose`: the first key seals, every key opens (rotation).

    `secrets` are at least 32 random bytes each (`ENCRYPTION_KEY`); without any, a key that dies with the process.
    """

    def __init__(self, purpose: str, secrets: Sequence[bytes] = ()) -> None:
        self.prefix = f"{purpose}.1."
        label = f"portside/{purpose}/v1".encode()
        self._keys = [
            AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=label).derive(secret))
            for secret in (secrets or [os.urandom(32)])
        ]

    def close(self, claims: dict[str, Any]) -> str:
        """Return `claims` as an opaque text."""
        nonce = os.urandom(_NONCE)
        body = json.dumps(claims, separators=(",", ":")).encode()
        sealed = self._keys[0].encrypt(nonce, body, self.prefix.encode())
        return self.prefix + base64.urlsafe_b64encode(nonce + sealed).decode("ascii").rstrip("=")

    def open(self, text: str) -> dict[str, Any] | None:
        """Return the claims, None for anything that was not sealed here with one of the keys."""
        if not text.startswith(self.prefix):
            return None
        encoded = text[len(self.prefix) :]
        try:
            raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        for key in self._keys:
            try:
                return cast("dict[str, Any]", json.loads(key.decrypt(raw[:_NONCE], raw[_NONCE:], self.prefix.encode())))
            except (InvalidTag, ValueError):
                continue
        return None
