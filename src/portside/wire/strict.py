"""JSON read strictly (RFC 8259, and what interoperable parsers agree on), and quickly where there is much of it."""

import gc
import json
import math
import re
from collections.abc import Iterable
from typing import Any, Final, cast

import msgspec

from portside.wire import refusal
from portside.wire.refusal import Refusal

MAX_DEPTH: Final = 64
LARGE: Final = 128 * 1024
"""Bytes from which on work on a body is nothing to do on the event loop."""

_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"{}[]"))
_DIGITS: Final = bytes.maketrans(b"123456789", b"000000000")
_LONG_INT: Final = b"0" * 19
"""Shorter integers fit 64 bits."""

_quick: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode


def decode(body: bytes) -> object:
    """Return the JSON value in `body`.

    Raises Refusal -32700 where it is empty or not strict: UTF-8 without BOM, no NaN, no duplicate keys, no lone
    surrogates, numbers of 64 bits, at most 64 levels. The text never holds what was sent. May take 100 ms and more for
    a body of megabytes: above `LARGE`, call it in a thread.
    """
    if not body:
        raise Refusal(refusal.PARSE_ERROR, "the body is empty; expected one JSON-RPC message")
    is_large = len(body) > LARGE
    try:
        value = _without_collecting(body) if is_large else _quick(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # What says best what is wrong holds the interpreter too long to be asked about megabytes.
        if is_large:
            raise Refusal(refusal.PARSE_ERROR, _reason(error)) from None
        return _careful(body)
    if type(value) not in _CONTAINERS:
        return _careful(body)
    if not is_large and _is_plain(value, body):
        return value
    # msgspec is strict but in two points: it takes integers of any size, and the last of members of the same name.
    containers = _containers(value)
    if _LONG_INT in body.translate(_DIGITS) and _has_long_int(containers):
        raise Refusal(refusal.PARSE_ERROR, "an integer does not fit 64 bits")
    colons = body.count(b":") - sum(map(len, _objects(containers)))
    if colons and (b"\\u003" in body or colons != _colons(containers)):
        return _careful(body)
    return value


def weight(value: object) -> int:
    """Return about how many bytes of JSON a value is; counting ends once it is `LARGE`."""
    total, level = 0, [value]
    while level and total < LARGE:
        one = level.pop()
        if isinstance(one, str):
            total += len(one)
        elif isinstance(one, dict):
            members = cast("dict[str, object]", one)
            total += sum(map(len, members))
            level.extend(members.values())
        elif isinstance(one, list):
            level.extend(cast("list[object]", one))
        total += 2
    return total


# -- the quick way ------------------------------------------------------------------------------

_CONTAINERS: Final = frozenset({dict, list})


def _without_collecting(body: bytes) -> object:
    """Decode without collecting garbage meanwhile: there is none, and looking for it takes longer than decoding."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return _quick(body)
    finally:
        if was_enabled:
            gc.enable()


def _is_plain(value: object, body: bytes) -> bool:
    """Say whether `body` is how msgspec writes the value, as nearly all clients write theirs: without white space.

    Then no member was dropped, or the two would differ, and only depth and long integers remain to be seen.
    """
    may_be_deep = body.count(b"{") + body.count(b"[") > MAX_DEPTH
    return not may_be_deep and _LONG_INT not in body.translate(_DIGITS) and _encode(value) == body


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return f"nested deeper than {MAX_DEPTH} levels"
    return "the body is not UTF-8" if isinstance(error, UnicodeDecodeError) else f"not JSON: {error}"


def _values(container: Any) -> Iterable[Any]:
    return cast("Iterable[Any]", container.values() if type(container) is dict else container)


def _containers(value: object) -> list[Any]:
    """Return every object and array of a JSON value. Raises Refusal where they nest too deep."""
    found: list[Any] = []
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        found += level
        level = [inner for one in level for inner in _values(one) if type(inner) in _CONTAINERS]
        if not level:
            return found
    raise Refusal(refusal.PARSE_ERROR, f"nested deeper than {MAX_DEPTH} levels")


def _has_long_int(containers: list[Any]) -> bool:
    return any(type(value) is int and not _INT_MIN <= value <= _INT_MAX for one in containers for value in _values(one))


def _objects(containers: list[Any]) -> list[dict[str, Any]]:
    return [one for one in containers if type(one) is dict]


def _colons(containers: list[Any]) -> int:
    """Return how many colons there are in names and texts; a member that was dropped had at least one more."""
    names = sum(name.count(":") for one in _objects(containers) for name in one)
    return names + sum(value.count(":") for one in containers for value in _values(one) if type(value) is str)


# -- the careful way ----------------------------------------------------------------------------


class _NotStrict(ValueError):
    """JSON by Python's reading, but not by everybody's."""


def _careful(body: bytes) -> object:
    """Return the value, or say what is wrong with it. Raises Refusal."""
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _depth(body) > MAX_DEPTH:
        raise Refusal(refusal.PARSE_ERROR, f"nested deeper than {MAX_DEPTH} levels")
    try:
        value: object = _decoder.decode(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise Refusal(refusal.PARSE_ERROR, "the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        # The position, never the text: the body may hold what must not be echoed.
        raise Refusal(refusal.PARSE_ERROR, f"not JSON: {error.msg} at character {error.pos}") from None
    except _NotStrict as error:
        raise Refusal(refusal.PARSE_ERROR, str(error)) from None
    if b"\\u" in body and _has_lone_surrogate(value):
        raise Refusal(refusal.PARSE_ERROR, "a string holds half of a surrogate pair")
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _NotStrict("an object names the same member twice")
    return members


def _constant(name: str) -> float:
    raise _NotStrict(f"{name} is not a JSON number")


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _NotStrict("a number is out of range")
    return number


def _int(digits: str) -> int:
    if len(digits) > 20 or not _INT_MIN <= (number := int(digits)) <= _INT_MAX:
        raise _NotStrict("an integer does not fit 64 bits")
    return number


_decoder = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_float, parse_int=_int, strict=True
)


def _depth(body: bytes) -> int:
    """Return how deep brackets nest outside strings; linear, without recursion."""
    deepest = level = 0
    for byte in _STRING.sub(b"", body).translate(None, _NOT_BRACKETS):
        level += 1 if byte in b"{[" else -1
        deepest = max(deepest, level)
    return deepest


def _has_lone_surrogate(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False
