"""Tool arguments mirrored into `Mcp-Param-*` headers: which ones a schema declares, and whether they agree.

MCP 2026-07-28, Streamable HTTP, Custom Headers from Tool Parameters.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from portside.wire import headers, refusal
from portside.wire.refusal import Refusal

KEY: Final = "x-mcp-header"

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DECIMAL = re.compile(r"-?[0-9]+(\.0+)?")
_PRIMITIVE = ("string", "integer", "boolean")


@dataclass(frozen=True, slots=True)
class Declared:
    """One argument a client must mirror: where it is, the header's lower-case name, the schema's type."""

    path: tuple[str, ...]
    header: bytes
    type: str


def declared(schema: object) -> tuple[Declared, ...]:
    """Return the mirrored arguments of an input schema; none where any annotation breaks the rules.

    A conforming client refuses a tool with a broken annotation, so there is nothing to compare then.
    """
    found: list[Declared] = []
    seen: set[bytes] = set()
    for path, node in _annotated(schema):
        name, kind = node[KEY], node.get("type")
        if not path or not isinstance(name, str) or not _TOKEN.fullmatch(name) or kind not in _PRIMITIVE:
            return ()
        header = headers.PARAM_PREFIX + name.lower().encode("ascii")
        if header in seen:
            return ()
        seen.add(header)
        found.append(Declared(path, header, cast("str", kind)))
    return tuple(found)


def check(wanted: Sequence[Declared], arguments: Mapping[str, Any], raw_headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Compare header and argument of every declared pair. Raises Refusal -32020 for the first that disagree.

    Both must be present and equal, or both absent (a null argument counts as absent). Headers nobody declared are let
    through, as the specification wants of intermediaries.
    """
    for one in wanted:
        values = [value for name, value in raw_headers if name == one.header]
        text = _rendered(_at(arguments, one.path))
        if len(values) > 1:
            raise _mismatch(one, "appears more than once")
        if text is None and values:
            raise _mismatch(one, "is present, but the argument it mirrors is not")
        if text is not None and not values:
            raise _mismatch(one, "is missing, but the argument it mirrors is present")
        if text is not None and not _agrees(one, text, values[0]):
            raise _mismatch(one, "does not match the argument it mirrors")


def _annotated(schema: object) -> Iterator[tuple[tuple[str, ...] | None, dict[str, Any]]]:
    """Yield every annotated object with its chain of `properties` keys, None where it lies off that chain."""
    stack: list[tuple[tuple[str, ...] | None, object]] = [((), schema)]
    while stack:
        path, node = stack.pop()
        if isinstance(node, list):
            stack.extend((None, item) for item in cast("list[object]", node))
        if not isinstance(node, dict):
            continue
        members = cast("dict[str, Any]", node)
        if KEY in members:
            yield path, members
        for key, value in members.items():
            if key == "properties" and isinstance(value, dict):
                chain = cast("dict[str, object]", value)
                stack.extend((None if path is None else (*path, name), sub) for name, sub in chain.items())
            elif key not in ("default", "examples", "const", "enum", KEY):
                stack.append((None, value))


def _at(arguments: Mapping[str, Any], path: tuple[str, ...]) -> object:
    node: object = arguments
    for key in path:
        if not isinstance(node, dict):
            return None
        node = cast("dict[str, object]", node).get(key)
    return node


def _rendered(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _agrees(one: Declared, text: str, raw: bytes) -> bool:
    value = headers.decode_value(raw.strip(b" \t").decode("latin-1"))
    if value is None:
        return False
    if one.type == "integer" and _DECIMAL.fullmatch(value) and _DECIMAL.fullmatch(text):
        return int(value.partition(".")[0]) == int(text.partition(".")[0])
    return value == text


def _mismatch(one: Declared, reason: str) -> Refusal:
    return Refusal(refusal.HEADER_MISMATCH, f"the {one.header.decode('ascii')} header {reason}")
