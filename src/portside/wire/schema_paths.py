"""How often a schema is gone through for one value: references that multiply make a small one take for ever."""

from collections.abc import Iterator
from typing import Any, Final, cast

MAX_PATHS: Final = 10_000
"""Ways through the subschemas that apply to the same value; real schemas have dozens."""

_ONE: Final = ("not", "if", "then", "else")
_MANY: Final = ("allOf", "anyOf", "oneOf")
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")


def paths(root: dict[str, Any], objects: list[dict[str, Any]]) -> int:
    """Return the most ways there are from any subschema through those that apply to the same value; capped.

    What applies to members and items of a value is counted for itself. A circle is counted once: it applies to a
    smaller value each time, or is invalid.
    """
    anchors = {
        one[key]: one for one in objects for key in ("$anchor", "$dynamicAnchor") if isinstance(one.get(key), str)
    }
    counts: dict[int, int] = {}
    for start in objects:
        _count(start, root, anchors, counts)
    return max(counts.values(), default=0)


def _count(
    start: dict[str, Any], root: dict[str, Any], anchors: dict[str, dict[str, Any]], counts: dict[int, int]
) -> None:
    """Set the counts of a subschema and of all it leads to; without recursion, since chains may be long."""
    stack = [start]
    open_: set[int] = set()
    while stack:
        one = stack[-1]
        if id(one) in counts:
            stack.pop()
            continue
        following = list(_following(one, root, anchors))
        waiting = [next_ for next_ in following if id(next_) not in counts and id(next_) not in open_]
        if id(one) not in open_ and waiting:
            open_.add(id(one))
            stack += waiting
            continue
        counts[id(one)] = min(MAX_PATHS + 1, 1 + sum(counts.get(id(next_), 1) for next_ in following))
        open_.discard(id(one))
        stack.pop()


def _following(
    one: dict[str, Any], root: dict[str, Any], anchors: dict[str, dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    for key in _ONE:
        yield from _schemas(one.get(key))
    for key in _MANY:
        listed: object = one.get(key)
        for item in cast("list[object]", listed) if isinstance(listed, list) else ():
            yield from _schemas(item)
    dependent: object = one.get("dependentSchemas")
    for item in cast("dict[str, object]", dependent).values() if isinstance(dependent, dict) else ():
        yield from _schemas(item)
    for key in _REFERENCES:
        target: object = one.get(key)
        if isinstance(target, str):
            yield from _schemas(_resolved(target, root, anchors))


def _schemas(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield cast("dict[str, Any]", value)


def _resolved(target: str, root: dict[str, Any], anchors: dict[str, dict[str, Any]]) -> object:
    pointer = target.removeprefix("#")
    if not pointer.startswith("/"):
        return root if pointer == "" else anchors.get(pointer)
    found: object = root
    for step in pointer[1:].split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = cast("dict[str, object]", found).get(key)
        elif isinstance(found, list) and key.isdecimal() and int(key) < len(cast("list[object]", found)):
            found = cast("list[object]", found)[int(key)]
        else:
            return None
    return found
