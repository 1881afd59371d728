"""What is wrong with arguments that do not fit their schema: the first problems, each in a short line.

The library's own errors are not used: to make one for an `anyOf` it makes all that are below, and it holds the value.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final, cast

import jsonschema_rs

from portside.wire import schema_words
from portside.wire.schema_words import Path

MAX_PROBLEMS: Final = 10
MAX_PROBLEM_BYTES: Final = 400
MAX_TRIES: Final = 50
MAX_HOPS: Final = 150
"""Subschemas on the way to one problem: a schema may refer to itself."""

Compile = Callable[[dict[str, Any]], jsonschema_rs.Validator]


class Finder:
    """Finds out what does not fit one schema. May be used by several threads at once."""

    def __init__(self, schema: dict[str, Any], compile: Compile, parts: jsonschema_rs.ValidatorMap) -> None:
        self._root = schema
        self._compile = compile
        self._parts = parts

    def find(self, arguments: dict[str, Any]) -> list[str]:
        """Return one to ten problems of arguments that do not fit."""
        found: dict[str, None] = {}
        # A schema that refers to itself says the same again and again.
        for problem in islice(self._problems("#", self._root, arguments, (), 0), MAX_TRIES):
            found[_cut(problem)] = None
            if len(found) == MAX_PROBLEMS:
                break
        return list(found)

    def _problems(self, at: str, schema: object, value: Any, path: Path, hops: int) -> Iterator[str]:
        """Yield at least one problem of a value that does not fit the subschema `at` a pointer into the root."""
        is_explained = False
        members = _object(schema)
        if hops < MAX_HOPS:
            for problem in self._of_keywords(at, members, value, path, hops + 1):
                is_explained = True
                yield problem
        if not is_explained:
            yield schema_words.unexpected(schema is False, value, path)

    def _of_keywords(self, at: str, schema: dict[str, Any], value: Any, path: Path, hops: int) -> Iterator[str]:
        if "$ref" in schema:
            yield from self._referred(schema["$ref"], value, path, hops)
        for keyword in schema_words.PLAIN:
            if keyword in schema and not self._fits_plain(schema, keyword, value):
                yield schema_words.expected(keyword, schema, value, path)
        if type(value) is dict:
            yield from self._of_members(at, schema, cast("dict[str, Any]", value), path, hops)
        elif type(value) is list:
            yield from self._of_items(at, schema, cast("list[Any]", value), path, hops)
        for index, part in enumerate(_list(schema.get("allOf"))):
            yield from self._below(f"{at}/allOf/{index}", part, value, path, hops)
        for keyword in ("anyOf", "oneOf"):
            yield from self._of_choice(at, keyword, _list(schema.get(keyword)), value, path, hops)
        if "if" in schema:
            branch = "then" if self._fits(f"{at}/if", schema["if"], value) else "else"
            if branch in schema:
                yield from self._below(f"{at}/{branch}", schema[branch], value, path, hops)

    def _referred(self, target: object, value: Any, path: Path, hops: int) -> Iterator[str]:
        if not isinstance(target, str) or (target != "#" and not target.startswith("#/")):
            return
        node: Any = self._root
        for token in target.split("/")[1:]:
            key = token.replace("~1", "/").replace("~0", "~")
            if isinstance(node, list) and key.isdigit() and int(key) < len(cast("list[Any]", node)):
                node = cast("list[Any]", node)[int(key)]
            elif isinstance(node, dict) and key in node:
                node = cast("dict[str, Any]", node)[key]
            else:
                return  # percent-encoded, or relative to an embedded resource: told without details
        yield from self._below(target, node, value, path, hops)

    def _of_members(
        self, at: str, schema: dict[str, Any], value: dict[str, Any], path: Path, hops: int
    ) -> Iterator[str]:
        known = _object(schema.get("properties"))
        for name, part in known.items():
            if name in value:
                yield from self._below(f"{at}/properties/{_token(name)}", part, value[name], (*path, name), hops)
        if "additionalProperties" not in schema or schema.get("patternProperties"):
            return
        part = schema["additionalProperties"]
        for name in value:
            if name in known:
                continue
            if part is False:
                yield schema_words.not_allowed(name, path)
            else:
                yield from self._below(f"{at}/additionalProperties", part, value[name], (*path, name), hops)

    def _of_items(self, at: str, schema: dict[str, Any], value: list[Any], path: Path, hops: int) -> Iterator[str]:
        items = schema.get("items")
        # Before 2020-12 a list of schemas stood under `items` itself.
        keyword = "items" if isinstance(items, list) else "prefixItems"
        first = _list(schema.get(keyword))
        for index, (part, one) in enumerate(zip(first, value, strict=False)):
            yield from self._below(f"{at}/{keyword}/{index}", part, one, (*path, index), hops)
        keyword = "additionalItems" if isinstance(items, list) else "items"
        if keyword not in schema:
            return
        part, below = schema[keyword], f"{at}/{keyword}"
        validator = self._parts.get(below)
        if validator is None and part is not False:
            return
        for index, one in enumerate(islice(value, len(first), None), len(first)):
            if validator is None or not validator.is_valid(one):
                yield from self._problems(below, part, one, (*path, index), hops)

    def _of_choice(self, at: str, keyword: str, parts: list[Any], value: Any, path: Path, hops: int) -> Iterator[str]:
        if not parts:
            return
        fitting = [i for i, part in enumerate(parts) if self._fits(f"{at}/{keyword}/{i}", part, value)]
        if len(fitting) == 1 or (fitting and keyword == "anyOf"):
            return
        # Often only one form is of the value's type (`list[int] | None`): then that is the one that was meant.
        meant = [i for i, part in enumerate(parts) if self._is_of_type(part, value)]
        if not fitting and len(meant) == 1:
            yield from self._problems(f"{at}/{keyword}/{meant[0]}", parts[meant[0]], value, path, hops)
        else:
            yield schema_words.no_choice(parts, len(fitting), value, path)

    def _is_of_type(self, part: Any, value: Any) -> bool:
        if not isinstance(part, dict):
            return False
        schema = cast("dict[str, Any]", part)
        return "type" not in schema or self._fits_plain(schema, "type", value)

    def _below(self, at: str, part: Any, value: Any, path: Path, hops: int) -> Iterator[str]:
        if not self._fits(at, part, value):
            yield from self._problems(at, part, value, path, hops)

    def _fits(self, at: str, part: Any, value: Any) -> bool:
        if isinstance(part, bool):
            return part
        validator = self._parts.get(at)
        return validator is None or validator.is_valid(value)

    def _fits_plain(self, schema: dict[str, Any], keyword: str, value: Any) -> bool:
        # Draft 4 has exclusiveMinimum: true beside a minimum.
        beside = [name for name in ("minimum", "maximum") if schema[keyword] is True and name in schema]
        alone = {name: schema[name] for name in (keyword, *beside)}
        if "$schema" in self._root:
            alone["$schema"] = self._root["$schema"]
        return self._compile(alone).is_valid(value)


def _cut(problem: str) -> str:
    data = problem.encode("utf-8", "replace")
    return problem if len(data) <= MAX_PROBLEM_BYTES else data[: MAX_PROBLEM_BYTES - 3].decode("utf-8", "ignore") + "…"


def _list(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _token(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
