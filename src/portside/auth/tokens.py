"""Signed tokens: judged once, remembered until they end (RFC 7519, RFC 8725, RFC 9068)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from portside.auth import claims, jws
from portside.auth.cache import Cache, digest_of
from portside.auth.claims import MAX_SKEW_S, Expected
from portside.auth.jwk import ALGORITHMS
from portside.auth.jws import Jws
from portside.auth.keyring import HS256, HeldKey, Keys
from portside.auth.principal import Principal
from portside.auth.refused import AlgorithmRefused, ClaimsWrong, IssuerUnknown, SignatureWrong, TokenRevoked
from portside.auth.revoked import Revoked
from portside.clock import Clock
from portside.errors import Problem, SettingsInvalid

MAX_CACHED: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Verified:
    """A verdict, and what it rests on."""

    principal: Principal
    key: HeldKey
    until: float


class Verifier:
    """Judges tokens of the issuers in `trusted`, for the one `audience` that is this server.

    `trusted` maps each issuer, exactly as its tokens write it, to its keys. Raises SettingsInvalid without audience,
    without issuer, or where `skew_s` exceeds 60 s.
    """

    def __init__(
        self,
        trusted: Mapping[str, Keys],
        *,
        audience: str,
        clock: Clock,
        skew_s: float = 30.0,
        revoked: Revoked | None = None,
        max_cached: int = MAX_CACHED,
    ) -> None:
        problems = tuple(_problems(trusted, audience, skew_s))
        if problems:
            raise SettingsInvalid(problems)
        self._trusted = {issuer: (Expected(issuer, audience, skew_s), keys) for issuer, keys in trusted.items()}
        self._clock = clock
        self._skew_s = skew_s
        self._revoked = revoked if revoked is not None else Revoked()
        self._verified: Cache[_Verified] = Cache(max_cached)

    def __repr__(self) -> str:
        return f"<Verifier issuers={len(self._trusted)} cached={len(self._verified)}>"

    def known(self, token: str) -> Principal | None:
        """Return whose token this is if that was found out before and still holds; one look-up, no waiting."""
        return self._known(digest_of(token))

    async def verify(self, token: str) -> Principal:
        """Return whose token this is.

        Raises a NotAuthenticated that says what is wrong with it, and IdentityUnavailable where nobody can tell now.
        """
        digest = digest_of(token)
        principal = self._known(digest)
        if principal is not None:
            return principal
        parts = jws.parse(token)
        issuer: object = parts.claims.get("iss")
        if not isinstance(issuer, str) or issuer not in self._trusted:
            raise IssuerUnknown
        expected, keys = self._trusted[issuer]
        key = await _signer(parts, keys)
        now = self._clock.now()
        principal = _principal(parts, expected, now)
        if self._revoked.covers(digest, issuer, principal.credential):
            raise TokenRevoked
        until = claims.expiry(parts.claims) + self._skew_s
        self._verified.put(digest, _Verified(principal, key, until))
        return principal

    def _known(self, digest: bytes) -> Principal | None:
        entry = self._verified.get(digest)
        if entry is None:
            return None
        principal = entry.principal
        if self._clock.now() >= entry.until or self._clock.monotonic() >= entry.key.usable_until:
            self._verified.drop(digest)
            return None
        if self._revoked and self._revoked.covers(digest, principal.issuer, principal.credential):
            return None
        return principal


async def _signer(parts: Jws, keys: Keys) -> HeldKey:
    """Return the key that signed the token. Raises AlgorithmRefused, SignatureWrong, IdentityUnavailable."""
    if parts.algorithm not in ALGORITHMS and parts.algorithm != HS256:
        raise AlgorithmRefused
    tried = await keys.candidates(parts.algorithm, parts.key_id)
    found = _fitting(parts, tried)
    if found is None and parts.key_id is None:
        # It names no key, so a key nobody knows yet shows only in that no known one fits.
        await keys.refresh()
        fresh = await keys.candidates(parts.algorithm, None)
        found = _fitting(parts, [one for one in fresh if one not in tried])
    if found is None:
        raise SignatureWrong
    return found


def _fitting(parts: Jws, candidates: Sequence[HeldKey]) -> HeldKey | None:
    for one in candidates:
        if one.key.verify(parts.algorithm, parts.signing_input, parts.signature):
            return one
    return None


def _principal(parts: Jws, expected: Expected, now: float) -> Principal:
    claims.check(parts.claims, expected, now)
    subject = claims.text(parts.claims, "sub")
    if subject is None:
        # Without it all users of one client would be one principal, and see each other's sessions (RFC 9068 §2.2).
        raise ClaimsWrong('the token has no "sub"')
    return Principal(
        "jwt",
        issuer=expected.issuer,
        subject=subject,
        client_id=claims.text(parts.claims, "client_id") or claims.text(parts.claims, "azp"),
        scopes=claims.scopes(parts.claims),
        expires=claims.expiry(parts.claims),
        credential=claims.text(parts.claims, "jti"),
    )


def _problems(trusted: Mapping[str, Keys], audience: str, skew_s: float) -> list[Problem]:
    found: list[Problem] = []
    if not audience:
        found.append(Problem("audience", "tokens cannot be judged without it; set PORTSIDE_PUBLIC_URL"))
    if not trusted or not all(trusted):
        found.append(Problem("issuer", "expected at least one issuer, none of them empty"))
    if not 0 <= skew_s <= MAX_SKEW_S:
        found.append(Problem("skew", f"{skew_s:g} s; expected 0 to {MAX_SKEW_S:g} s"))
    return found
