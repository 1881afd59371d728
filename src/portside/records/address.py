"""Where the records are: a database URL, read and checked without opening anything, its password never shown."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import parse_qsl, urlencode

from portside.errors import Problem, SettingsInvalid

NAME: Final = "PORTSIDE_DATABASE_URL"
_ALIAS: Final = "DATABASE_URL"
EXPECTED: Final = "postgresql://user:password@host/database or sqlite:///path/to/file.db"

_URL: Final = re.compile(r"(?P<scheme>[a-z]+)(\+[a-z0-9_]+)?://(?P<rest>.*)", re.DOTALL)
_NETWORK: Final = re.compile(r"(?P<login>[^@/?#]*@)?(?P<hosts>[^@/?#]*)(?P<path>/[^?#]*)?(\?(?P<query>[^#]*))?")
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.%a-z]+\]|[A-Za-z0-9._%-]*)(:[0-9]{1,5})?")
# Written for other clients; here statements are never prepared by name, so there is nothing to switch off.
_MEANINGLESS: Final = frozenset({"pgbouncer", "prepared_statement_cache_size", "statement_cache_size"})


@dataclass(frozen=True, slots=True)
class Address:
    """A database: `shown` may be printed; `dsn` holds the password of PostgreSQL, `path` is SQLite's file."""

    dialect: Literal["sqlite", "postgresql"]
    shown: str
    dsn: str = field(default="", repr=False)
    path: Path = Path()


def default(data_dir: Path) -> str:
    """Return the URL of the SQLite file in a data folder, in a folder of its own that nobody else may read."""
    return f"sqlite:///{data_dir.absolute() / 'records' / 'portside.db'}"


def set_by(origin: str) -> str:
    """Return the name a URL was set by, ours or a shared one; `origin` is what the settings say of it."""
    source, _, name = origin.partition(" ")
    return name if source == "environment" else NAME


def parse(url: str, *, name: str = NAME) -> Address:
    """Return where `url` leads; `name` is what it was set by.

    A driver, as in `postgresql+psycopg://`, is read past. Raises SettingsInvalid, never with the password in it.
    """
    match = _URL.fullmatch(url.strip())
    if match is None:
        raise _wrong(name, f"expected {EXPECTED}")
    if match["scheme"] == "sqlite":
        return _sqlite(match["rest"], name)
    if match["scheme"] in ("postgres", "postgresql"):
        return _postgresql(match["rest"], name)
    raise _wrong(name, f"{match['scheme']}:// is not supported; expected {EXPECTED}")


def _sqlite(rest: str, name: str) -> Address:
    path = rest.removeprefix("/")
    if not rest.startswith("/") or not path or path.endswith("/") or path == ":memory:":
        raise _wrong(name, "expected the path of a file, as sqlite:///path/to/file.db (four slashes where absolute)")
    if set(path) & set("?#\x00"):
        raise _wrong(name, f"sqlite:///{path!r}: expected a path without ? and #, and no options")
    return Address("sqlite", f"sqlite:///{path}", path=Path(path))


def _postgresql(rest: str, name: str) -> Address:
    match = _NETWORK.fullmatch(rest)
    # What cannot be read is not quoted: it is part of the password where that holds a / ? # or @ of its own.
    if match is None or not all(_is_host(host) for host in match["hosts"].split(",")):
        message = "cannot be read; a / ? # @ or % in the password must be percent-encoded"
        raise _wrong(name, f"{message}; expected {EXPECTED}")
    options = dict(parse_qsl(match["query"] or "", keep_blank_values=True))
    if not match["hosts"] and not options.get("host"):
        raise _wrong(name, f"names no host; expected {EXPECTED}")
    kept = {"application_name": "portside"} | {key: options[key] for key in options if key not in _MEANINGLESS}
    path = match["path"] or ""
    user = (match["login"] or "").rstrip("@").partition(":")[0]
    shown = f"postgresql://{user}{'@' if user else ''}{match['hosts'] or options['host']}{path}"
    return Address("postgresql", shown, f"postgresql://{match['login'] or ''}{match['hosts']}{path}?{urlencode(kept)}")


def _is_host(text: str) -> bool:
    match = _HOST.fullmatch(text)
    return match is not None and int((match[2] or ":1")[1:]) in range(1, 65536)


def _wrong(name: str, message: str) -> SettingsInvalid:
    return SettingsInvalid((Problem(name, message),))
