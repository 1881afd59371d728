"""Sealing bytes that leave this process, so that they can be neither read nor made up nor moved elsewhere."""

import os
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE: Final = 12
_TAG: Final = 16


class Box:
    """AES-256-GCM under keys derived for one `purpose` (HKDF-SHA256): the first key seals, every key opens (rotation).

    `secrets` are at least 32 random bytes each (`ENCRYPTION_KEY`). Raises ValueError where there is none.
    """

    def __init__(self, purpose: str, secrets: Sequence[bytes]) -> None:
        if not secrets:
            raise ValueError(f"no key to seal a {purpose} with: expected at least one secret")
        label = f"portside/{purpose}/v1".encode()
        self._keys = [
            AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=label).derive(secret)) for secret in secrets
        ]

    def seal(self, data: bytes, context: bytes = b"") -> bytes:
        """Return `data` sealed; it opens only with the same `context`, which is not part of it."""
        nonce = os.urandom(_NONCE)
        return nonce + self._keys[0].encrypt(nonce, data, context)

    def open(self, sealed: bytes, context: bytes = b"") -> bytes | None:
        """Return what was sealed, None for anything not sealed with one of the keys for this purpose and context."""
        if len(sealed) < _NONCE + _TAG:
            return None
        for key in self._keys:
            try:
                return key.decrypt(sealed[:_NONCE], sealed[_NONCE:], context)
            except InvalidTag:
                continue
        return None
