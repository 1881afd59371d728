"""A signed token taken apart, strictly (RFC 7515, RFC 7519, RFC 8725): nothing here proves anything yet."""

import base64
import re
from dataclasses import dataclass
from typing import Any, Final, cast

from portside.auth.refused import TokenMalformed, TokenTypeWrong
from portside.wire import message
from portside.wire.refusal import Refusal

MAX_TOKEN_BYTES: Final = 16 * 1024
MAX_KEY_ID: Final = 256

_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_TYPES: Final = frozenset({"jwt", "at+jwt"})
_FORBIDDEN: Final = ("b64", "crit", "enc", "jku", "jwk", "x5u", "zip")
"""Header members that would change how a token is read, or say where its key is to be found (RFC 8725 §3.10).

`crit` is among them since this code knows no extension, and whoever does not know one must refuse (RFC 7515 §4.1.11).
"""


@dataclass(frozen=True, slots=True)
class Jws:
    """A token in its parts; nothing of it is to be believed before the signature is."""

    algorithm: str
    key_id: str | None
    claims: dict[str, Any]
    signing_input: bytes
    signature: bytes


def is_compact(token: str) -> bool:
    """Say whether a token has the form of a signed one: three parts in base64url."""
    return len(token) <= MAX_TOKEN_BYTES and _COMPACT.fullmatch(token) is not None


def parse(token: str) -> Jws:
    """Return the token's parts. Raises TokenMalformed and TokenTypeWrong, never with a piece of the token."""
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenMalformed(f"the token is longer than {MAX_TOKEN_BYTES} bytes")
    match = _COMPACT.fullmatch(token)
    if match is None:
        raise TokenMalformed("expected a token of three parts in base64url")
    header, claims = _members(match[1], "header"), _members(match[2], "payload")
    _check_header(header)
    return Jws(
        algorithm=_text(header, "alg") or "",
        key_id=_text(header, "kid"),
        claims=claims,
        signing_input=token[: match.start(3) - 1].encode("ascii"),
        signature=_bytes(match[3], "signature"),
    )


def _check_header(header: dict[str, Any]) -> None:
    for name in _FORBIDDEN:
        if name in header:
            raise TokenMalformed(f"the token's header has the member {name!r}, which is not accepted here")
    if len(_text(header, "kid") or "") > MAX_KEY_ID:
        raise TokenMalformed(f"the token's key id is longer than {MAX_KEY_ID} characters")
    kind = _text(header, "typ")
    # A media type may be written without "application/", in any case (RFC 7515 §4.1.9).
    if kind is None or kind.lower().removeprefix("application/") not in _TYPES:
        raise TokenTypeWrong('expected a token of type "JWT" or "at+jwt"')


def _text(header: dict[str, Any], name: str) -> str | None:
    value = header.get(name)
    if name in header and not isinstance(value, str):
        raise TokenMalformed(f"{name!r} in the token's header is not a string")
    return value


def _members(part: str, what: str) -> dict[str, Any]:
    try:
        value = message.decode(_bytes(part, what))
    except Refusal as refused:
        raise TokenMalformed(f"the token's {what}: {refused.message}") from None
    if not isinstance(value, dict):
        raise TokenMalformed(f"the token's {what} is not a JSON object")
    return cast("dict[str, Any]", value)


def _bytes(part: str, what: str) -> bytes:
    """Return what a part encodes; of several texts for the same bytes only one is taken, lest tokens have twins."""
    if len(part) % 4 != 1:
        decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode("ascii") == part:
            return decoded
    raise TokenMalformed(f"the token's {what} is not base64url in its canonical form")
