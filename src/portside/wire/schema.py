"""A tool's input schema made ready to check arguments by: nothing is fetched, and nothing takes exponentially long.

A reference is followed once for each value, patterns run in linear time, formats are annotations (the default of JSON
Schema 2020-12), and no more than ten problems are looked for.
"""

from collections.abc import Iterator
from typing import Any, Final, cast

import jsonschema_rs
import msgspec

from portside.errors import PortsideError
from portside.wire.schema_paths import MAX_PATHS, paths
from portside.wire.schema_problems import Finder
from portside.wire.strict import MAX_DEPTH

MAX_SCHEMA_BYTES: Final = 256 * 1024
MAX_OBJECTS: Final = 10_000
MAX_PATTERN_BYTES: Final = 1024 * 1024
"""Of memory, for one compiled pattern."""

DIALECTS: Final = frozenset(
    {
        "https://json-schema.org/draft/2020-12/schema",
        "https://json-schema.org/draft/2019-09/schema",
        "http://json-schema.org/draft-07/schema",
        "http://json-schema.org/draft-06/schema",
        "http://json-schema.org/draft-04/schema",
    }
)
"""Values of `$schema`, without the empty fragment; 2020-12 where it is missing (MCP 2026-07-28, JSON Schema Usage)."""

_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_TURNING: Final = frozenset({"not", "oneOf", "if", "contains", "unevaluatedProperties", "unevaluatedItems"})
"""Where a pattern left out might refuse what fits, instead of letting more through."""

_LINEAR: Final = jsonschema_rs.RegexOptions(size_limit=MAX_PATTERN_BYTES, dfa_size_limit=MAX_PATTERN_BYTES)


class NotCheckable(PortsideError):
    """A schema that arguments cannot be checked by; the message is the reason."""


class Checker:
    """Says whether arguments fit one schema. May be used by several threads at once.

    Both methods hold the interpreter, for about 10 ns for each value and each subschema it is compared with: with much
    data, call them in a thread.
    """

    __slots__ = ("_finder", "_schema", "is_valid")

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema
        self._finder: Finder | None = None
        self.is_valid = validator(schema).is_valid

    def problems(self, arguments: dict[str, Any]) -> list[str]:
        """Return at most ten texts of what does not fit, 4,000 bytes together; none where everything does.

        Each names the place as a JSON Pointer and what was expected there. Of a value it shows at most 60 characters,
        and nothing where a name on the way to it sounds secret.
        """
        if self.is_valid(arguments):
            return []
        if self._finder is None:
            self._finder = Finder(self._schema, validator, parts(self._schema))
        return self._finder.find(arguments)


def validator(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """Return the library's validator under this module's bounds. Raises jsonschema_rs.ValidationError."""
    return jsonschema_rs.validator_for(schema, offline=True, validate_formats=False, pattern_options=_LINEAR)


def parts(schema: dict[str, Any]) -> jsonschema_rs.ValidatorMap:
    """Return the same for every subschema, by its JSON Pointer. Raises jsonschema_rs.ValidationError."""
    return jsonschema_rs.validator_map_for(schema, offline=True, validate_formats=False, pattern_options=_LINEAR)


def compile(schema: object) -> Checker:
    """Return what checks arguments by `schema`, a JSON Schema of one of `DIALECTS`.

    A pattern that cannot be matched in linear time is left out. Raises NotCheckable for a schema that is invalid, too
    large or too deep, whose references multiply, that refers to anything outside itself, or that such a pattern
    cannot be left out of.
    """
    if not isinstance(schema, dict):
        raise NotCheckable("it is not an object")
    root = cast("dict[str, Any]", schema)
    if len(msgspec.json.encode(root)) > MAX_SCHEMA_BYTES:
        raise NotCheckable(f"it is larger than {MAX_SCHEMA_BYTES} bytes")
    dialect: object = root.get("$schema", "")
    if dialect != "" and (not isinstance(dialect, str) or dialect.removesuffix("#") not in DIALECTS):
        raise NotCheckable(f"its dialect {str(dialect)[:100]!r} is not supported")
    objects = list(_objects(root))
    for one in objects:
        for keyword in _REFERENCES:
            target = one.get(keyword)
            if isinstance(target, str) and not target.startswith("#"):
                raise NotCheckable(f"it refers to {target[:100]!r}, outside itself")
    if paths(root, objects) > MAX_PATHS:
        raise NotCheckable(f"there are more than {MAX_PATHS} ways through it for one value")
    try:
        return Checker(_with_linear_patterns(root, objects))
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise NotCheckable(f"it is not valid: {str(error).partition(chr(10))[0][:200]}") from error


def _objects(root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every object in a schema, whether a subschema or not. Raises NotCheckable where there are too many."""
    level: list[object] = [root]
    count = 0
    for _ in range(MAX_DEPTH):
        inner: list[object] = []
        for one in level:
            if isinstance(one, dict):
                members = cast("dict[str, Any]", one)
                count += 1
                yield members
                inner += members.values()
            elif isinstance(one, list):
                inner += cast("list[object]", one)
        if count > MAX_OBJECTS:
            raise NotCheckable(f"it has more than {MAX_OBJECTS} subschemas")
        if not inner:
            return
        level = inner
    raise NotCheckable(f"it nests deeper than {MAX_DEPTH} levels")


def _with_linear_patterns(root: dict[str, Any], objects: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the schema, or a copy without the patterns that look around or back. Raises NotCheckable."""
    found = {one["pattern"] for one in objects if isinstance(one.get("pattern"), str)}
    wrong = {pattern for pattern in found if not _is_linear(pattern)}
    if not wrong:
        return root
    if any(_TURNING & one.keys() for one in objects):
        raise NotCheckable(f"its pattern {min(wrong)[:100]!r} cannot be matched in linear time")
    copy = msgspec.json.decode(msgspec.json.encode(root))
    for one in _objects(copy):
        if isinstance(one.get("pattern"), str) and one["pattern"] in wrong:
            del one["pattern"]
    return copy


def _is_linear(pattern: str) -> bool:
    try:
        validator({"pattern": pattern})
    except (jsonschema_rs.ValidationError, ValueError):
        return False
    return True
