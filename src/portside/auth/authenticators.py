"""What a request shows to prove who sent it, and the ways of judging that, in order."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from portside.auth import certificates, jws, key_text
from portside.auth.certificates import CertificateRule
from portside.auth.introspection import Introspector
from portside.auth.principal import Principal
from portside.auth.refused import IdentityUnavailable, KeyRefused, TokenMalformed
from portside.auth.tokens import Verifier
from portside.clock import Clock
from portside.errors import PortsideError, RecordsUnavailable, StateUnavailable, mapped

_UNAVAILABLE: Final[Mapping[type[BaseException], type[PortsideError]]] = {
    RecordsUnavailable: IdentityUnavailable,
    StateUnavailable: IdentityUnavailable,
}


class Credentials(msgspec.Struct, frozen=True):
    """What came with one request: the bearer token, and the connection's verified client certificate.

    `certificate` has the form of `ssl.getpeercert()`; it must have been verified by TLS.
    """

    token: str | None = None
    certificate: Mapping[str, Any] | None = None


class Authenticator(Protocol):
    """One way to prove who one is."""

    def known(self, credentials: Credentials) -> Principal | None:
        """Return whose credentials these are if that is known without waiting; None says nothing about them."""
        ...

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Return whose credentials these are, None where they are none of this kind.

        Raises a NotAuthenticated where they are of this kind and no good, IdentityUnavailable where nobody can tell.
        """
        ...


class VerifiedKey(Protocol):
    """What an API key turned out to be. `principal` is who acts, whichever of its keys is used."""

    @property
    def id(self) -> str: ...
    @property
    def principal(self) -> str: ...
    @property
    def scopes(self) -> frozenset[str]: ...
    @property
    def expires(self) -> float | None: ...


class KeyBook(Protocol):
    """The API keys there are; it does its own remembering. `keys.KeyBook` is one."""

    async def verify(self, text: str) -> VerifiedKey | None:
        """Return what a key is, None where it is unknown, expired or revoked. Raises RecordsUnavailable."""
        ...


class ByCertificate:
    """Client certificates. A token that comes with one decides: it says who asks, the certificate whose machine."""

    def __init__(self, rule: CertificateRule, clock: Clock) -> None:
        self._rule = rule
        self._clock = clock

    def known(self, credentials: Credentials) -> Principal | None:
        return None

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        if credentials.certificate is None or credentials.token is not None:
            return None
        return certificates.principal_of(credentials.certificate, self._rule, self._clock.now())


class ByKey:
    """API keys, told from other tokens by their prefix."""

    def __init__(self, book: KeyBook) -> None:
        self._book = book

    def known(self, credentials: Credentials) -> Principal | None:
        return None

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        if credentials.token is None or not credentials.token.startswith(key_text.PREFIX):
            return None
        with mapped(_UNAVAILABLE):
            found = await self._book.verify(credentials.token)
        if found is None:
            raise KeyRefused
        return Principal(
            "key", subject=found.principal, scopes=found.scopes, expires=found.expires, credential=found.id
        )


class ByToken:
    """Access tokens: signed ones are judged here, all others by asking their issuer; at least one of the two is given.

    Without `introspector`, opaque tokens are malformed; without `verifier`, signed ones are asked about like others.
    """

    def __init__(self, verifier: Verifier | None = None, introspector: Introspector | None = None) -> None:
        self._verifier = verifier
        self._introspector = introspector

    def known(self, credentials: Credentials) -> Principal | None:
        token = credentials.token
        if token is None:
            return None
        found = self._verifier.known(token) if self._verifier is not None else None
        if found is None and self._introspector is not None:
            return self._introspector.known(token)
        return found

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        token = credentials.token
        if token is None or token.startswith(key_text.PREFIX):
            return None
        if self._verifier is not None and (self._introspector is None or jws.is_compact(token)):
            return await self._verifier.verify(token)
        if self._introspector is None:
            raise TokenMalformed
        return await self._introspector.verify(token)


async def authenticate(ways: Sequence[Authenticator], credentials: Credentials) -> Principal | None:
    """Return who asks by the first way that fits, None where none does. Raises as `Authenticator.authenticate`."""
    for way in ways:
        principal = await way.authenticate(credentials)
        if principal is not None:
            return principal
    return None
