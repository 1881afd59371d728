"""A reader of `WWW-Authenticate` by the letter of RFC 9110 §11 and RFC 6750 §3; what does not fit raises."""

import re
from typing import Final

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED: Final = r'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_PARAMETER: Final = re.compile(rf"({_TOKEN})[ \t]*=[ \t]*({_TOKEN}|{_QUOTED})")
_CHALLENGE: Final = re.compile(rf"({_TOKEN})(?: +(.+))?", re.DOTALL)
_SCOPES: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")
_DESCRIPTION: Final = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")
_ERRORS: Final = frozenset({"invalid_request", "invalid_token", "insufficient_scope"})


def parse(value: str) -> dict[str, str]:
    """Return the parameters of one Bearer challenge. Raises ValueError for anything else."""
    match = _CHALLENGE.fullmatch(value)
    if match is None or match[1].lower() != "bearer":
        raise ValueError(value)
    found: dict[str, str] = {}
    rest = match[2] or ""
    while rest:
        parameter = _PARAMETER.match(rest)
        if parameter is None or parameter[1].lower() in found:
            raise ValueError(rest)
        found[parameter[1].lower()] = _unquoted(parameter[2])
        rest = rest[parameter.end() :].lstrip(" \t")
        if rest:
            if not rest.startswith(","):
                raise ValueError(rest)
            rest = rest[1:].lstrip(" \t")
            if not rest:
                raise ValueError(value)
    _check(found)
    return found


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def _check(found: dict[str, str]) -> None:
    if "scope" in found and not _SCOPES.fullmatch(found["scope"]):
        raise ValueError(found["scope"])
    if "error" in found and found["error"] not in _ERRORS:
        raise ValueError(found["error"])
    if "error_description" in found and not _DESCRIPTION.fullmatch(found["error_description"]):
        raise ValueError(found["error_description"])
