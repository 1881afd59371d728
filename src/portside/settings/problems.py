"""Everything that can be wrong with settings, found all at once: near misses, bad values, unsafe combinations."""

import difflib
import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

from portside.errors import Problem
from portside.settings.entry import Entry
from portside.settings.model import ALIASES, SECRET_NAMES, TABLE, Settings

_PREFIXES: Final = ("MCP_", "PORTSIDE_")
_NAMES: Final = tuple(entry.name for entry in TABLE.values())
_KEYS: Final = tuple(entry.key for entry in TABLE.values())
_FILES: Final = tuple(f"{name}_FILE" for name in SECRET_NAMES)
_KNOWN: Final = frozenset((*_NAMES, *_FILES, *ALIASES))
# The hosted server's own DATABASE_URI is no near miss.
_MEANT: Final = tuple(sorted(name for name in _KNOWN if name.removesuffix("_FILE") not in (*ALIASES, "REDIS_PASSWORD")))
_LOGIN: Final = re.compile(r"(?<!\S)[^\s/:@]+:(?!//)\S*@")
"""A name and a password before a host, as in the reference of an image."""

_OTHERS: Final = frozenset({"SERVER_IP"})
"""Names of other software that are one letter away from ours."""


def unknown_variables(names: Iterable[str], origin: str = "environment") -> list[Problem]:
    """Return a problem for every variable that was meant for us and is none of ours; never its value.

    PORTSIDE_ is our prefix alone. Elsewhere only near misses count: other software has variables named MCP_ too.
    """
    found: list[Problem] = []
    for name in sorted(set(names) - _KNOWN - _OTHERS):
        near = _meant(name)
        if near is not None:
            found.append(Problem(name, f"no such setting; did you mean {near}?", origin))
        elif name.startswith("PORTSIDE_"):
            found.append(Problem(name, "no such setting; see `portside settings document`", origin))
    return found


def unknown_key(key: str, origin: str) -> Problem:
    """Return the problem of a key in portside.toml that is none of ours."""
    near = difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.6)
    return Problem(key, f"no such setting; did you mean {near[0]}?" if near else "no such setting", origin)


def wrong(entry: Entry, value: object, origin: str) -> Problem:
    """Return the problem of a value that is not of the accepted form; a secret's value is left out."""
    name = entry.name if entry.is_secret else f"{entry.name}={shown(value)}"
    return Problem(name, f"expected {entry.expected}", origin)


def shown(value: object) -> str:
    """Return a value as it may be printed: in quotes, not too long, without a login, in a URL or before a host."""
    return repr(_LOGIN.sub("********@", re.sub(r"//\S*@", "//********@", str(value)))[:200])


def unsafe(settings: Settings, origins: Mapping[str, str], doubted: Collection[str] = ()) -> list[Problem]:
    """Return what production refuses: values that are fine one by one, and dangerous as they stand.

    `doubted` are attributes whose value was wrong and is a default here; what rests on one of them is not judged.
    """
    if settings.env != "production" or "env" in doubted:
        return []
    found: list[Problem] = []
    is_open = not (settings.is_authenticated or settings.allow_anonymous) and "allow_anonymous" not in doubted
    if not is_loopback(settings.host) and is_open and not _ways(doubted):
        message = (
            "can be reached from outside, and nobody is authenticated: set PORTSIDE_AUTH_ISSUERS, JWT_SECRET or "
            "PORTSIDE_API_KEYS, or put a gateway that authenticates in front and set PORTSIDE_ALLOW_ANONYMOUS=true, "
            "or set MCP_ENV=development"
        )
        found.append(Problem(f"MCP_HOST={shown(settings.host)}", message, origins.get("host")))
    if settings.takes_tokens and settings.public_url is None and settings.auth_audience is None:
        message = "tokens must be meant for this deployment: set PORTSIDE_PUBLIC_URL, which says what that is"
        found.append(Problem("PORTSIDE_PUBLIC_URL", message))
    everybody = [one for one in settings.trusted_proxies if ipaddress.ip_network(one, strict=False).prefixlen == 0]
    if everybody:
        name = f"PORTSIDE_TRUSTED_PROXIES={shown(','.join(everybody))}"
        found.append(Problem(name, "believes everybody; name your proxies", origins.get("trusted_proxies")))
    target = urlsplit(settings.target or "")
    if target.scheme == "http" and not is_loopback(target.hostname or "") and settings.has_upstream_secret:
        message = "would send the upstream's credentials in the clear; use https"
        found.append(Problem(f"PORTSIDE_TARGET={shown(settings.target)}", message, origins.get("target")))
    if "*" in settings.allowed_origins:
        message = "lets every web page call; name the origins"
        found.append(Problem("PORTSIDE_ALLOWED_ORIGINS='*'", message, origins.get("allowed_origins")))
    return found


TOGETHER: Final = (
    ("upstream_cert_path", "upstream_key_path"),
    ("ssl_cert_path", "ssl_key_path"),
    ("introspection_url", "introspection_client_id", "introspection_client_secret"),
    ("upstream_token_url", "upstream_client_id", "upstream_client_secret"),
)
"""Settings that mean something only when all of a row are there."""


WAYS: Final = ("jwt_secret", "auth_issuers", "introspection_url", "api_keys", "certificate_identity")


def _ways(doubted: Collection[str]) -> bool:
    """Whether a way to authenticate was set, only wrongly: then that is what has to be told."""
    return any(name in doubted for name in WAYS)


def incomplete(settings: Settings, origins: Mapping[str, str], doubted: Collection[str] = ()) -> list[Problem]:
    """Return a problem for every setting whose companion is missing."""
    found: list[Problem] = []
    for row in TOGETHER:
        given = [name for name in row if getattr(settings, name) is not None]
        missing = [TABLE[name].name for name in row if name not in given and name not in doubted]
        if given and missing:
            name = TABLE[given[0]].name
            found.append(Problem(name, f"set without {' and '.join(missing)}", origins.get(given[0])))
    needed = [
        (
            "auth_jwks_url",
            settings.auth_jwks_url is not None and len(settings.auth_issuers) != 1,
            "exactly one issuer in PORTSIDE_AUTH_ISSUERS",
        ),
        ("ssl_ca_path", settings.ssl_ca_path is not None and settings.ssl_cert_path is None, "SSL_CERT_PATH"),
        (
            "certificate_identity",
            settings.certificate_identity != "off" and settings.ssl_ca_path is None,
            "SSL_CA_PATH",
        ),
        (
            "introspection_url",
            settings.introspection_url is not None and not settings.auth_issuers,
            "PORTSIDE_AUTH_ISSUERS",
        ),
        ("audit", settings.audit != "off" and settings.audit_key_path is None, "PORTSIDE_AUDIT_KEY_PATH"),
        ("redis_url", settings.redis_url is not None and not settings.encryption_keys, "ENCRYPTION_KEY"),
        ("audit_arguments", settings.audit_arguments == "hashed" and not settings.encryption_keys, "ENCRYPTION_KEY"),
    ]
    for name, is_missing, what in needed:
        if is_missing and name not in doubted:
            found.append(Problem(TABLE[name].name, f"needs {what}", origins.get(name)))
    return found


def is_loopback(host: str) -> bool:
    """Say whether an address to listen on stays within this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _meant(name: str) -> str | None:
    """Return the known name that an unknown one was probably meant to be."""
    upper = name.upper()
    is_prefixed = upper.startswith(_PREFIXES)
    if is_prefixed:
        same = [known for known in _MEANT if upper == f"{known}_FILE" or _words(upper) == _words(known)]
        if same:
            return same[0]
    # Short names of other software lie two letters from ours: MCP_TEST from MCP_HOST.
    slips = 2 if len(name) >= (9 if is_prefixed else 12) else 1
    # Bare lower-case names are other software's; ours with another case would be a prefixed one.
    text = upper if is_prefixed else name
    near = [(count, known) for known in _MEANT if (count := _slips(text, known, slips)) is not None]
    if near:
        return min(near)[1]
    close = difflib.get_close_matches(name, _MEANT, n=1, cutoff=0.8) if name.startswith("PORTSIDE_") else []
    return close[0] if close else None


def _words(name: str) -> list[str]:
    return sorted(word for word in name.split("_") if word not in ("", "MCP", "PORTSIDE"))


def _slips(text: str, known: str, most: int) -> int | None:
    """Return how many letters were added, left out, replaced or swapped with their neighbour; None above `most`."""
    # Nearly every variable of a machine ends here, which keeps the start quick.
    if abs(len(text) - len(known)) > most or len(set(text) ^ set(known)) > 2 * most:
        return None
    before: list[int] = []
    row = list(range(len(known) + 1))
    for i, letter in enumerate(text, 1):
        before, above, row = row, before, [i]
        for j, other in enumerate(known, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == known[j - 2] and text[i - 2] == other:
                cost = min(cost, above[j - 2] + 1)
            row.append(cost)
    return row[-1] if row[-1] <= most else None
