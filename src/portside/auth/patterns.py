"""Names with `*` in them, matched without backtracking, and which URIs may be matched at all."""

import re
from typing import Final
from urllib.parse import urlsplit

_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def matches(pattern: str, name: str) -> bool:
    """Say whether `name` fits `pattern`, where `*` stands for any text, also none; time grows linearly with both."""
    first, star, rest = pattern.partition("*")
    if not star:
        return pattern == name
    if not name.startswith(first):
        return False
    *middle, last = rest.split("*")
    start = len(first)
    for part in middle:
        found = name.find(part, start)
        if found < 0:
            return False
        start = found + len(part)
    return len(name) - len(last) >= start and name.endswith(last)


def is_settled(uri: str) -> bool:
    """Say whether a URI is written in the one way that leaves no doubt what it names (RFC 3986 §6.2.2).

    Not settled: dots, empty path segments or backslashes that a server may resolve away, escapes of characters that
    need none, of slashes and of percent signs, what is not printable ASCII, and scheme or host in upper case. A rule
    for `file:///public/*` must not let `file:///public/../secret` through.
    """
    scheme, colon, rest = uri.partition(":")
    if not colon or scheme != scheme.lower() or not uri.isascii() or not uri.isprintable():
        return False
    if "\\" in uri or " " in uri or len(_ESCAPE.findall(uri)) != uri.count("%"):
        return False
    try:
        host = urlsplit(uri).netloc
    except ValueError:
        return False
    path = re.split(r"[?#]", rest.removeprefix("//"), maxsplit=1)[0]
    segments = path.split("/")
    # The first is the host's, or what comes before any slash; one empty segment at the end is a folder.
    if any(part in (".", "..") for part in segments) or "" in segments[1:-1]:
        return False
    return host == host.lower() and all(_needs_escape(match[1]) for match in _ESCAPE.finditer(uri))


def _needs_escape(digits: str) -> bool:
    character = chr(int(digits, 16))
    return digits == digits.upper() and character not in _UNRESERVED and character not in "/\\%" and character >= " "
