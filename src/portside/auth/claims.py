"""What a token's claims say, judged strictly: for whom, from when, until when, and who it is.

Serves JWTs (RFC 7519, RFC 9068) and introspection answers (RFC 7662), which have the same members.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from portside.auth.refused import AudienceWrong, ClaimsWrong, TokenExpired, TokenNotYetValid

MAX_SKEW_S: Final = 60.0
MAX_TEXT: Final = 1024
MAX_AUDIENCES: Final = 64
MAX_SCOPES: Final = 512

_LAST: Final = 253_402_300_799.0  # the end of the year 9999: what is beyond is no time anybody meant
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,256}")  # RFC 6749 §3.3


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say. `skew_s`: seconds by which clocks may differ, at most 60."""

    issuer: str
    audience: str
    skew_s: float = 30.0


def check(claims: Mapping[str, Any], expected: Expected, now: float) -> None:
    """Check audience and times; `now` is in seconds since the epoch. The issuer is what `expected` was chosen by.

    Raises AudienceWrong, TokenExpired, TokenNotYetValid, ClaimsWrong.
    """
    check_audience(claims, expected.audience)
    check_times(claims, expected.skew_s, now)
    if "cnf" in claims:
        # A token bound to a key or certificate is worth nothing without its proof (RFC 9449 §7.2, RFC 8705 §3).
        raise ClaimsWrong("the token is bound to a key (cnf), which is not supported here")


def check_audience(claims: Mapping[str, Any], audience: str) -> None:
    """Check that one of the token's audiences is `audience`, character by character. Raises AudienceWrong."""
    value = claims.get("aud")
    given = cast("Sequence[object]", value if isinstance(value, list) else [value])
    if len(given) > MAX_AUDIENCES or not all(isinstance(one, str) for one in given) or audience not in given:
        raise AudienceWrong(f"the token is not meant for this server; expected the audience {audience!r}")


def check_times(claims: Mapping[str, Any], skew_s: float, now: float) -> None:
    """Check `exp`, `nbf` and `iat` as far as they are there. Raises TokenExpired, TokenNotYetValid, ClaimsWrong."""
    until = seconds(claims, "exp")
    if until is not None and now >= until + skew_s:
        raise TokenExpired
    for name in ("nbf", "iat"):
        since = seconds(claims, name)
        if since is not None and since > now + skew_s:
            raise TokenNotYetValid


def expiry(claims: Mapping[str, Any]) -> float:
    """Return when the token ends, in seconds since the epoch. Raises ClaimsWrong where it has no end."""
    until = seconds(claims, "exp")
    if until is None:
        raise ClaimsWrong('the token has no "exp"')
    return until


def seconds(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a time in seconds since the epoch, None where the claim is absent. Raises ClaimsWrong."""
    value: object = claims.get(name)
    if name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ClaimsWrong(f"the token's {name!r} is not a number")
    if not math.isfinite(value) or not 0 <= value <= _LAST:
        raise ClaimsWrong(f"the token's {name!r} is no time")
    return float(value)


def text(claims: Mapping[str, Any], name: str) -> str | None:
    """Return a claim that is a text of 1 to 1024 printable characters, None where absent. Raises ClaimsWrong."""
    value: object = claims.get(name)
    if name not in claims:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
        raise ClaimsWrong(f"the token's {name!r} is not a text of 1 to {MAX_TEXT} printable characters")
    return value


def scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return what is granted: `scope` as a text (RFC 8693 §4.2), else `scp` as text or list. Raises ClaimsWrong."""
    name = "scope" if "scope" in claims else "scp"
    value: object = claims.get(name, "")
    if isinstance(value, str):
        names: list[object] = list(filter(None, value.split(" ")))
    elif isinstance(value, list) and name == "scp":
        names = cast("list[object]", value)
    else:
        raise ClaimsWrong(f"the token's {name!r} is not a text")
    if len(names) > MAX_SCOPES or not all(isinstance(one, str) and is_scope(one) for one in names):
        raise ClaimsWrong(f"the token's {name!r} holds more than {MAX_SCOPES} scopes, or what is no scope")
    return frozenset(cast("list[str]", names))


def is_scope(value: str) -> bool:
    """Say whether a text is one scope (RFC 6749 §3.3)."""
    return _SCOPE.fullmatch(value) is not None
