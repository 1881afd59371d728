"""What a setting's text may look like: sizes, switches, lists, networks, keys."""

import base64
import binascii
import ipaddress
import re
import socket
from collections.abc import Sequence
from typing import Annotated, Any, Final, cast
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from portside.secret import Secret

_SIZE: Final = re.compile(r"([0-9]+)\s*(B|KiB|MiB|GiB|kB|MB|GB)?")
_UNITS: Final = {
    None: 1,
    "B": 1,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
}
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
_LABEL: Final = re.compile(r"[A-Za-z0-9._-]{1,63}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PATH: Final = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")
URL: Final = r"^https?://[^\s/@?#]+(/[^\s?#]*)?$"
NOT_OURS_TO_SET: Final = frozenset(
    {"accept", "connection", "content-length", "content-type", "host", "mcp-session-id", "te", "transfer-encoding"}
)
"""Headers that belong to the protocol itself."""

KEY_BYTES: Final = 32
_SAMPLE: Final = re.compile(
    r"change|your[-_]|example|sample|secret|password|replace|insecure|development", re.IGNORECASE
)
"""What stands in keys that people leave as they found them; random ones hold such a word once in millions."""


def size(value: object) -> object:
    """Return bytes for `4194304`, `4MiB` or `512 KiB`. Raises ValueError."""
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        if match is None:
            raise ValueError("not a size")
        return int(match[1]) * _UNITS[match[2]]
    return value


def switch(value: object) -> object:
    """Return a bool for true, 1, yes, on and their opposites. Raises ValueError."""
    if isinstance(value, str):
        word = value.strip().lower()
        if word not in _TRUE | _FALSE:
            raise ValueError("neither true nor false")
        return word in _TRUE
    return value


def words(value: object) -> object:
    """Return the items of a comma-separated text, without empty ones."""
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    return tuple(cast("Sequence[Any]", value)) if isinstance(value, list) else value


def lower(value: object) -> object:
    """Return text in lower case."""
    return value.strip().lower() if isinstance(value, str) else value


def networks(value: Sequence[str]) -> Sequence[str]:
    """Check that every item is an address or a network. Raises ValueError."""
    for item in value:
        ipaddress.ip_network("0.0.0.0/0" if item == "*" else item, strict=False)
    return value


def hosts(value: Sequence[str]) -> Sequence[str]:
    """Check that every item is a host, with or without a port. Raises ValueError."""
    for item in value:
        match = _HOST.fullmatch(item)
        if match is None or int((match[2] or ":1")[1:]) not in range(1, 65536):
            raise ValueError(item)
    return value


def origins(value: Sequence[str]) -> Sequence[str]:
    """Check that every item is an origin: scheme, host, perhaps a port, nothing else. Raises ValueError."""
    for item in value:
        scheme, _, host = item.removesuffix("/").partition("://")
        if item != "*" and (scheme not in ("http", "https") or hosts([host]) != [host]):
            raise ValueError(item)
    return value


def public_url(value: str) -> str:
    """Check that the text is a URL that can be extended by a path. Raises ValueError."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(value)
    if parts.username is not None or parts.port == 0 or not _HOST.fullmatch(parts.netloc):
        raise ValueError(value)
    return value.rstrip("/")


def label(value: str) -> str:
    """Check that the text fits a host name's label. Raises ValueError."""
    if not _LABEL.fullmatch(value):
        raise ValueError(value)
    return value


def functions(value: Sequence[str]) -> Sequence[str]:
    """Check that every item reads `module:function`. Raises ValueError."""
    for item in value:
        module, colon, name = item.partition(":")
        if not colon or not name.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
            raise ValueError(item)
    return value


def keys(value: object) -> object:
    """Return the keys of an `id:key` list, newest first, each at least 32 bytes in hex, base64 or as they are.

    Raises ValueError, never with the key in it.
    """
    if not isinstance(value, str):
        return value
    found: list[Secret] = []
    for item in value.split(","):
        id_, colon, text = item.strip().partition(":")
        if _SAMPLE.search(text if colon else id_):
            raise ValueError("a key that was copied from an example")
        material = _material(text if colon else id_)
        if len(material) < KEY_BYTES or len(set(material)) < 8:
            raise ValueError("a key is too short or too regular")
        found.append(Secret(material))
    return tuple(found)


def _material(text: str) -> bytes:
    try:
        # Hex is hex at any length: 32 digits are 16 bytes, not a raw key of 32.
        return bytes.fromhex(text)
    except ValueError:
        pass
    try:
        decoded = base64.b64decode(
            text + "=" * (-len(text) % 4), altchars=b"-_" if set(text) & set("-_") else None, validate=True
        )
        if len(decoded) >= KEY_BYTES:
            return decoded
    except (binascii.Error, ValueError):
        pass
    return text.encode()


def own_label() -> str:
    """Return this machine's name as a label."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:63] or "portside"


def names(value: Sequence[str]) -> Sequence[str]:
    """Check that every item can be the name of a variable. Raises ValueError."""
    for item in value:
        if not _NAME.fullmatch(item):
            raise ValueError(item)
    return value


def url_path(value: str) -> str:
    """Check that the text is the path of a URL. Raises ValueError."""
    if not _PATH.fullmatch(value):
        raise ValueError(value)
    return value


def urls(value: Sequence[str]) -> Sequence[str]:
    """Check that every item is a URL. Raises ValueError."""
    for item in value:
        if not re.match(URL, item):
            raise ValueError(item)
    return value


def tool_counts(value: object) -> object:
    """Return (tool, count) for every `tool=count`. Raises ValueError."""
    items = words(value)
    if not isinstance(items, tuple):
        return value
    found: list[tuple[str, int]] = []
    for item in cast("tuple[Any, ...]", items):
        name, equals, count = str(item).rpartition("=")
        if not equals or not name.strip() or not count.strip().isdecimal() or not 1 <= int(count) <= 100_000:
            raise ValueError(item)
        found.append((name.strip(), int(count)))
    return tuple(found)


def secret_text(value: object) -> object:
    """Return text as a secret. Raises ValueError where it is empty."""
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("empty")
        return Secret(value.strip().encode())
    return value


def header_lines(value: object) -> object:
    """Return `Name: value` lines as names in lower case and hidden values. Raises ValueError, never with a value."""
    if not isinstance(value, str):
        return value
    found: list[tuple[str, Secret]] = []
    for line in filter(None, map(str.strip, value.splitlines())):
        name, colon, text = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name) or not text.strip().isprintable() or not text.isascii():
            raise ValueError("not a header")
        found.append((name.lower(), Secret(text.strip().encode())))
    if not found or any(name in NOT_OURS_TO_SET for name, _ in found):
        raise ValueError("none, or one that is not free to set")
    return tuple(found)


Port = Annotated[int, Field(ge=0, le=65535)]
Size = Annotated[int, BeforeValidator(size), Field(ge=1, le=2**40)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Millis = Annotated[int, Field(ge=1, le=7 * 24 * 3600 * 1000)]
Switch = Annotated[bool, BeforeValidator(switch)]
Label = Annotated[str, AfterValidator(label)]
PublicUrl = Annotated[str, AfterValidator(public_url)]
Networks = Annotated[tuple[str, ...], BeforeValidator(words), AfterValidator(networks)]
Hosts = Annotated[tuple[str, ...], BeforeValidator(words), AfterValidator(hosts)]
Origins = Annotated[tuple[str, ...], BeforeValidator(words), AfterValidator(origins)]
Functions = Annotated[tuple[str, ...], BeforeValidator(words), AfterValidator(functions)]
Keys = Annotated[tuple[Secret, ...], BeforeValidator(keys)]
Words = Annotated[tuple[str, ...], BeforeValidator(words)]
Urls = Annotated[tuple[str, ...], BeforeValidator(words), AfterValidator(urls)]
ToolCounts = Annotated[tuple[tuple[str, int], ...], BeforeValidator(tool_counts)]
Names = Annotated[tuple[str, ...], BeforeValidator(words), AfterValidator(names)]
UrlPath = Annotated[str, AfterValidator(url_path)]
SecretText = Annotated[Secret, BeforeValidator(secret_text)]
HeaderLines = Annotated[tuple[tuple[str, Secret], ...], BeforeValidator(header_lines)]
