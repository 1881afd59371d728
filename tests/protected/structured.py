"""A reader of lists by the letter of RFC 9651 §4.2: items with parameters; what does not fit raises."""

import re
from dataclasses import dataclass
from typing import Final

Bare = str | int | float | bool | bytes

_KEY: Final = re.compile(r"[a-z*][a-z0-9_.*-]*")
_NUMBER: Final = re.compile(r"-?([0-9]{1,12}\.[0-9]{1,3}|[0-9]{1,15})(?![0-9.])")
_STRING: Final = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_TOKEN: Final = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*")
_BYTES: Final = re.compile(r":([A-Za-z0-9+/]*={0,2}):")


@dataclass(frozen=True, slots=True)
class Item:
    """One member of a list. A token is told from a string by `is_token`."""

    value: Bare
    parameters: dict[str, Bare]
    is_token: bool = False


def parse_list(text: str) -> list[Item]:
    """Return the members of a list of items. Raises ValueError for anything else, inner lists included."""
    if not text.isascii():
        raise ValueError(text)
    rest = text.strip(" ")
    items: list[Item] = []
    while rest:
        item, rest = _item(rest)
        items.append(item)
        rest = rest.lstrip(" \t")
        if not rest:
            return items
        if not rest.startswith(",") or not rest[1:].strip(" \t"):
            raise ValueError(text)
        rest = rest[1:].lstrip(" \t")
    return items


def _item(text: str) -> tuple[Item, str]:
    value, rest, is_token = _bare(text)
    parameters: dict[str, Bare] = {}
    while rest.startswith(";"):
        rest = rest[1:].lstrip(" ")
        key = _KEY.match(rest)
        if key is None:
            raise ValueError(text)
        rest, given = rest[key.end() :], True
        if rest.startswith("="):
            found, rest, _ = _bare(rest[1:])
        else:
            found = given
        parameters[key[0]] = found
    return Item(value, parameters, is_token), rest


def _bare(text: str) -> tuple[Bare, str, bool]:
    """Return a bare item, what follows it, and whether it is a token."""
    for pattern in (_STRING, _NUMBER, _BYTES, _TOKEN):
        match = pattern.match(text)
        if match is not None:
            return _value(pattern, match), text[match.end() :], pattern is _TOKEN
    if text[:2] in ("?0", "?1"):
        return text[1] == "1", text[2:], False
    raise ValueError(text)


def _value(pattern: re.Pattern[str], match: re.Match[str]) -> Bare:
    if pattern is _STRING:
        return re.sub(r"\\(.)", r"\1", match[1])
    if pattern is _NUMBER:
        return float(match[0]) if "." in match[0] else int(match[0])
    return match[1].encode() if pattern is _BYTES else match[0]
