"""How a problem with arguments is told: where, what was expected there, and a little of what was found."""

import re
from typing import Any, Final, cast

import msgspec

Path = tuple[str | int, ...]

MAX_SHOWN: Final = 60
"""Characters of a value, and of a name."""

MAX_PATH: Final = 200
MAX_EXPECTED: Final = 120

PLAIN: Final = (
    "type",
    "enum",
    "const",
    "required",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "dependentRequired",
)
"""Keywords that say what they want by themselves, without subschemas."""

_EXPECTED: Final = {
    "minimum": "a number of at least {}",
    "maximum": "a number of at most {}",
    "exclusiveMinimum": "a number above {}",
    "exclusiveMaximum": "a number below {}",
    "multipleOf": "a multiple of {}",
    "minLength": "text of at least {} characters",
    "maxLength": "text of at most {} characters",
    "pattern": "text that matches {}",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "minProperties": "at least {} members",
    "maxProperties": "at most {} members",
}

_SECRET: Final = re.compile(
    r"pass(word|wd|phrase|code)?$|passw|secret|token|api_?key|access_?key|private_?key|authori[sz]ation|^auth$"
    r"|credential|cookie|^pin$|^otp$",
    re.IGNORECASE,
)


def expected(keyword: str, schema: dict[str, Any], value: Any, path: Path) -> str:
    """Return that a value does not meet one of the `PLAIN` keywords of its schema."""
    wanted: Any = schema[keyword]
    if keyword == "required" and isinstance(value, dict):
        missing = [_name(name) for name in cast("list[str]", wanted) if name not in value]
        lacks = f"member {missing[0]} is" if len(missing) == 1 else f"members {_several(missing, 'and')} are"
        return f"{_place(path)}: the required {lacks} missing"
    if keyword == "type":
        text = " or ".join(cast("list[str]", wanted)) if isinstance(wanted, list) else str(wanted)
    elif keyword == "enum":
        text = _several([_json(one) for one in wanted], "or")
    elif keyword == "const":
        text = _json(wanted)
    elif keyword == "uniqueItems":
        text = "items that all differ"
    elif keyword == "dependentRequired":
        text = "members that belong together"
    else:
        text = _EXPECTED[keyword].format(_json(wanted))
    return f"{_place(path)}: expected {text[:MAX_EXPECTED]}, got {_shown(value, path)}"


def not_allowed(name: str, path: Path) -> str:
    """Return that an object has a member its schema does not allow."""
    return f"{_place(path)}: the member {_name(name)} is not allowed"


def no_choice(parts: list[Any], fitting: int, value: Any, path: Path) -> str:
    """Return that a value is none of the forms there are to choose from, or more than the one allowed."""
    if fitting:
        return f"{_place(path)}: expected exactly one of {len(parts)} forms, but {fitting} fit {_shown(value, path)}"
    types = [_json(part["type"]).strip('"') for part in parts if isinstance(part, dict) and "type" in part]
    kinds = f" ({_several(types, 'or')})" if len(types) == len(parts) else ""
    return f"{_place(path)}: expected one of {len(parts)} forms{kinds}, got {_shown(value, path)}"


def unexpected(is_forbidden: bool, value: Any, path: Path) -> str:
    """Return that a value does not fit for a reason that cannot be told in few words."""
    if is_forbidden:
        return f"{_place(path)}: nothing is allowed here, got {_shown(value, path)}"
    return f"{_place(path)}: {_shown(value, path)} does not fit the schema"


def _place(path: Path) -> str:
    """Return a JSON Pointer (RFC 6901), its middle left out where it is long."""
    tokens = [_printable(str(one)[:MAX_SHOWN]).replace("~", "~0").replace("/", "~1") for one in path]
    text = "".join(f"/{token}" for token in tokens)
    if len(text) > MAX_PATH:
        text = f"{text[: MAX_PATH // 2]}…{text[-MAX_PATH // 2 :]}"
    return text or "arguments"


def _shown(value: Any, path: Path) -> str:
    """Return a scalar as JSON, cut; of everything else, and of what may be secret, only what kind it is."""
    if isinstance(value, list):
        return f"an array of {len(cast('list[Any]', value))} items"
    if isinstance(value, dict):
        return f"an object of {len(cast('dict[str, Any]', value))} members"
    if value is None or isinstance(value, bool):
        return _json(value)
    if any(isinstance(one, str) and _SECRET.search(one) for one in path):
        return "text" if isinstance(value, str) else "a number"
    return _json(value[:MAX_SHOWN] + "…") if isinstance(value, str) and len(value) > MAX_SHOWN else _json(value)


def _name(name: str) -> str:
    return _json(name if len(name) <= MAX_SHOWN else f"{name[:MAX_SHOWN]}…")


def _several(texts: list[str], word: str) -> str:
    """Return the first few of a list in words."""
    if len(texts) > 8:
        return f"{', '.join(texts[:8])}, …"
    return f" {word} ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def _json(value: Any) -> str:
    return _printable(msgspec.json.encode(value).decode())


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(one if one.isprintable() else "�" for one in text)
