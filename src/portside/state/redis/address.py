"""Where Redis is: a URL, read and checked without opening anything, its password never shown."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote

EXPECTED: Final = (
    "redis://[user:password@]host[:port][/number], rediss://… with TLS, "
    "or redis+sentinel://[:password@]host:port,host:port/name?db=number"
)

_URL: Final = re.compile(
    r"(?P<scheme>rediss?)(?P<sentinel>\+sentinel)?://((?P<login>[^/?#]*)@)?(?P<hosts>[^@/?#]+)"
    r"(/(?P<path>[^@/?#]*))?(\?(?P<query>[^@#]*))?"
)
_HOST: Final = re.compile(r"(\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(:(?P<port>[0-9]{1,5}))?")
_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_KNOWN: Final = frozenset({"db", "ssl_ca_certs", "sentinel_password"})

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Address:
    """A Redis, or the sentinels that know where it is: then `master` is the name they know it by.

    `shown` may be printed. `ca_file` says whom to believe under TLS, None for the system's authorities.
    """

    shown: str
    places: tuple[Place, ...]
    master: str | None
    number: int
    user: str | None
    password: str | None = field(repr=False)
    sentinel_password: str | None = field(repr=False)
    is_tls: bool
    ca_file: str | None


def parse(url: str, password: str | None = None) -> Address:
    """Return what a URL says; `password` wins over the one in it. Raises ValueError, never naming a password."""
    found = _URL.fullmatch(url)
    if found is None:
        raise ValueError(f"the URL of Redis, {_shown(url)}: expected {EXPECTED}")
    shown, is_sentinel = _shown(url), found["sentinel"] is not None
    query = _query(shown, found["query"] or "")
    path = unquote(found["path"] or "")
    if is_sentinel and not path:
        raise ValueError(f"the URL of Redis, {shown}: expected the name of a master as its path")
    if not is_sentinel and ("," in found["hosts"] or "sentinel_password" in query):
        raise ValueError(f"the URL of Redis, {shown}: expected one host, or redis+sentinel:// for several")
    ca_file = query.get("ssl_ca_certs")
    if ca_file is not None and (found["scheme"] != "rediss" or not Path(ca_file).is_file()):
        raise ValueError(f"the URL of Redis, {shown}: expected ssl_ca_certs to name a file, and rediss:// before it")
    user, _, secret = (found["login"] or "").partition(":")
    return Address(
        shown=shown,
        places=tuple(_place(shown, host, is_sentinel) for host in found["hosts"].split(",")),
        master=path if is_sentinel else None,
        number=_number(shown, query.get("db", "" if is_sentinel else path)),
        user=unquote(user) or None,
        password=password or unquote(secret) or None,
        sentinel_password=query.get("sentinel_password"),
        is_tls=found["scheme"] == "rediss",
        ca_file=ca_file,
    )


def _shown(url: str) -> str:
    """Return a URL without what may be secret in it."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "(not a URL)"
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


def _query(shown: str, text: str) -> dict[str, str]:
    query = dict(parse_qsl(text, keep_blank_values=True))
    unknown = sorted(query.keys() - _KNOWN)
    if unknown:
        raise ValueError(f"the URL of Redis, {shown}: {', '.join(unknown)}: expected of {', '.join(sorted(_KNOWN))}")
    return query


def _place(shown: str, text: str, is_sentinel: bool) -> Place:
    found = _HOST.fullmatch(text)
    port = int(found["port"] or (_SENTINEL_PORT if is_sentinel else _PORT)) if found is not None else 0
    if found is None or not 0 < port < 65536:
        raise ValueError(f"the URL of Redis, {shown}: {text!r}: expected a host, or host:port with a port to 65535")
    return found["six"] or found["name"], port


def _number(shown: str, text: str) -> int:
    if text and not (text.isascii() and text.isdigit() and len(text) < 6):
        raise ValueError(f"the URL of Redis, {shown}: database {text!r}: expected a number")
    return int(text or 0)
