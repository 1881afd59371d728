"""Where the keys of one issuer are found, and for how long a key may be relied on."""

import hmac
import math
from collections.abc import Sequence
from typing import Final, Protocol

from portside.auth.jwk import VerifyKey
from portside.errors import Problem, SettingsInvalid
from portside.secret import Secret

MIN_SECRET_BYTES: Final = 32  # RFC 7518 §3.2: at least as long as the hash
MAX_SECRETS: Final = 4
HS256: Final = "HS256"


class HeldKey:
    """A key and until when it is to be relied on (`clock.monotonic()` seconds): the one part of it that changes.

    What was verified by it holds on to it, so that one comparison tells whether it still counts.
    """

    __slots__ = ("key", "usable_until")

    def __init__(self, key: VerifyKey, usable_until: float = math.inf) -> None:
        self.key = key
        self.usable_until = usable_until

    def __repr__(self) -> str:
        return f"<HeldKey {self.key.print[:8]} until={self.usable_until}>"


class Keys(Protocol):
    """The keys of one issuer."""

    async def candidates(self, algorithm: str, key_id: str | None) -> Sequence[HeldKey]:
        """Return the keys that may have made such a signature, none where the issuer has no such key.

        Raises IdentityUnavailable where the issuer's keys are not known, or have been known for too long.
        """
        ...

    async def refresh(self) -> None:
        """Look for new keys now, unless that was done a moment ago. Raises nothing: the known keys stay."""
        ...


class SharedSecrets:
    """Secrets shared with whoever issues tokens: HS256 alone. The first is the newest; a token's key id says nothing.

    Raises SettingsInvalid for a secret of less than 32 bytes, or of a few letters repeated.
    """

    def __init__(self, secrets: Sequence[Secret], *, setting: str = "JWT_SECRET") -> None:
        if not 1 <= len(secrets) <= MAX_SECRETS:
            raise SettingsInvalid((Problem(setting, f"expected 1 to {MAX_SECRETS} secrets, not {len(secrets)}"),))
        for secret in secrets:
            value = secret.reveal()
            if len(value) < MIN_SECRET_BYTES or len(set(value)) < 8:
                raise SettingsInvalid((Problem(setting, f"expected at least {MIN_SECRET_BYTES} random bytes"),))
        self._keys = tuple(HeldKey(_key(secret)) for secret in secrets)

    async def candidates(self, algorithm: str, key_id: str | None) -> Sequence[HeldKey]:
        return self._keys if algorithm == HS256 else ()

    async def refresh(self) -> None:
        """Return: secrets change with a restart only."""


def _key(secret: Secret) -> VerifyKey:
    def verify(algorithm: str, signed: bytes, signature: bytes) -> bool:
        # hmac.digest takes the secret as bytes, whatever it looks like: a public key here is nobody's concern, since
        # key sets never reach this class.
        return algorithm == HS256 and hmac.compare_digest(hmac.digest(secret.reveal(), signed, "sha256"), signature)

    # No digest of the secret as its print: should it be shown, a weak secret could be guessed from it offline.
    return VerifyKey(None, "shared-secret", frozenset({HS256}), verify)
