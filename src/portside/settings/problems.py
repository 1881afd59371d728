"""Everything that can be wrong with settings, found all at once: near misses, bad values, unsafe combinations."""

import difflib
import ipaddress
from collections.abc import Iterable, Mapping

from portside.errors import Problem
from portside.settings.model import REFUSED, RESERVED, SECRET_NAMES, TABLE, Settings

_NAMES = (*(entry.name for entry in TABLE.values()), *REFUSED, *RESERVED)
_KEYS = tuple(entry.key for entry in TABLE.values())
_FILES = tuple(f"{name}_FILE" for name in SECRET_NAMES)
_KNOWN = frozenset((*_NAMES, *_FILES))


def unknown_variables(names: Iterable[str]) -> list[Problem]:
    """Return a problem for every variable that was meant for us and is none of ours.

    PORTSIDE_ is our prefix alone. Elsewhere only near misses count: other software has variables named MCP_ too.
    """
    found: list[Problem] = []
    for name in sorted(set(names) - _KNOWN):
        cutoff = 0.6 if name.startswith("PORTSIDE_") else 0.85 if name.startswith("MCP_") else 0.9
        near = difflib.get_close_matches(name, _KNOWN, n=1, cutoff=cutoff)
        if near:
            found.append(Problem(name, f"no such setting; did you mean {near[0]}?", "environment"))
        elif name.startswith("PORTSIDE_"):
            found.append(Problem(name, "no such setting; see `portside settings document`", "environment"))
    return found


def unknown_key(key: str, origin: str) -> Problem:
    """Return the problem of a key in portside.toml that is none of ours."""
    near = difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.6)
    return Problem(key, f"no such setting; did you mean {near[0]}?" if near else "no such setting", origin)


def unserved(environ: Mapping[str, str]) -> list[Problem]:
    """Return a problem for every setting of a protection that this version does not have."""
    return [
        Problem(
            name,
            f"{what} is not in this version; unset it, and leave that to a proxy or gateway in front",
            "environment",
        )
        for name, what in REFUSED.items()
        for variable in (name, f"{name}_FILE")
        if environ.get(variable)
    ]


def unsafe(settings: Settings) -> list[Problem]:
    """Return what production refuses: values that are fine one by one, and dangerous as they stand."""
    if settings.env != "production":
        return []
    found: list[Problem] = []
    if not is_loopback(settings.host) and not settings.allow_anonymous:
        found.append(
            Problem(
                "MCP_HOST",
                f"{settings.host!r} can be reached from outside, and nobody is authenticated: put a gateway that "
                "authenticates in front and set PORTSIDE_ALLOW_ANONYMOUS=true, or set MCP_ENV=development",
            )
        )
    found += [
        Problem("PORTSIDE_TRUSTED_PROXIES", f"{network!r} believes everybody; name your proxies")
        for network in settings.trusted_proxies
        if network == "*" or ipaddress.ip_network(network, strict=False).prefixlen == 0
    ]
    if "*" in settings.allowed_origins:
        found.append(Problem("PORTSIDE_ALLOWED_ORIGINS", "'*' lets every web page call; name the origins"))
    return found


def is_loopback(host: str) -> bool:
    """Say whether an address to listen on stays within this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def notices(environ: Mapping[str, str]) -> list[str]:
    """Return what is set and not used, in words for the start banner."""
    return [f"{name} is set; this version of portside does not use it" for name in RESERVED if environ.get(name)]
