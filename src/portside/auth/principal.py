"""Who a request comes from, once that is proven."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

Kind = Literal["jwt", "key", "certificate", "introspected", "anonymous"]

_REALMS: Final[Mapping[Kind, str]] = MappingProxyType(
    # One realm for both: an issuer that turns from opaque tokens to JWTs keeps its users' sessions alive.
    {"jwt": "oauth", "introspected": "oauth", "key": "key", "certificate": "certificate"}
)
_DIGITS: Final = 40


@dataclass(frozen=True, slots=True)
class Principal:
    """One caller. `id` is what sessions, limits, `requestState` and audit go by.

    It depends on kind of proof, issuer, subject and client alone, so that a fresh token is the same principal, and it
    is a digest, so that it may appear in logs. `client_id` is the OAuth client, `credential` which token, key or
    certificate it was (an identifier, never the secret; no part of `id`). `expires` is in seconds since the epoch,
    None where the proof has no end.
    """

    kind: Kind
    issuer: str | None = None
    subject: str | None = None
    client_id: str | None = None
    scopes: frozenset[str] = frozenset()
    expires: float | None = None
    credential: str | None = None
    id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", self._id())

    def _id(self) -> str:
        if self.kind == "anonymous":
            return "anonymous"
        realm = _REALMS[self.kind]
        # JSON keeps the parts apart, and what is missing from what is empty.
        parts = json.dumps([realm, self.issuer, self.subject, self.client_id]).encode("ascii")
        return f"{realm}:{hashlib.sha256(parts).hexdigest()[:_DIGITS]}"


ANONYMOUS: Final = Principal("anonymous")
"""Everybody, where authentication is off."""
