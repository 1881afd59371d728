"""Tokens of this deployment: made with its own secret, and judged as the running server would."""

import secrets
from collections.abc import Sequence
from typing import Any

import jwt

from portside.auth import jws, metadata
from portside.auth.authenticators import Credentials, authenticate
from portside.auth.refused import IdentityUnavailable, NotAuthenticated
from portside.clock import Clock
from portside.errors import PortsideError, Problem, SettingsInvalid
from portside.serve.identity import identity, local_url
from portside.settings.model import Settings
from portside.settings.sources import Loaded


def issue(
    settings: Settings, clock: Clock, *, subject: str, client: str | None, scopes: Sequence[str], seconds: int
) -> str:
    """Return a token that this deployment accepts for `seconds`. Raises SettingsInvalid without JWT_SECRET."""
    if not settings.jwt_secret:
        raise SettingsInvalid((Problem("JWT_SECRET", "not set; tokens are signed with it"),))
    now = int(clock.now())
    claims: dict[str, Any] = {
        "iss": settings.jwt_issuer,
        "aud": settings.auth_audience or metadata.resource_url(settings.public_url or local_url(settings)),
        "sub": subject,
        "iat": now,
        "exp": now + seconds,
        "jti": secrets.token_hex(16),
    }
    if client is not None:
        claims["client_id"] = client
    if scopes:
        claims["scope"] = " ".join(scopes)
    return jwt.encode(claims, settings.jwt_secret[0].reveal(), algorithm="HS256", headers={"typ": "at+jwt"})


async def inspect(loaded: Loaded, clock: Clock, token: str) -> dict[str, Any]:
    """Return what a token says and whether it would be accepted, with the reason where not; never the token itself."""
    found: dict[str, Any] = {"accepted": False}
    try:
        parts = jws.parse(token)
        found |= {"algorithm": parts.algorithm, "claims": dict(parts.claims)}
    except NotAuthenticated as error:
        found["form"] = error.message
    known = identity(loaded.settings, loaded.scopes, clock)
    if known is None:
        return {**found, "reason": "nobody authenticates here: no way to do so is set"}
    try:
        principal = await authenticate(known.ways, Credentials(token))
    except (NotAuthenticated, IdentityUnavailable) as error:
        return {**found, "reason": error.message}
    except PortsideError as error:
        return {**found, "reason": error.message}
    finally:
        for keys in known.remote.values():
            await keys.close()
    if principal is None:
        return {**found, "reason": "the token is of no kind accepted here"}
    return {**found, "accepted": True, "principal": principal.id, "scopes": sorted(principal.scopes)}
