"""One row of the table of settings: what a field is called, accepts and is for."""

from dataclasses import dataclass
from typing import Any, Final

from pydantic import BeforeValidator, Field

from portside.settings import types

Lower = BeforeValidator(types.lower)

SWITCH: Final = "true or false"
MILLIS: Final = "milliseconds, 1 to 604800000"
SIZE: Final = "bytes, as 4194304 or 4MiB"
COUNT: Final = "a whole number, at least 1"


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the table, apart from its type and default. `key` is its place in portside.toml."""

    name: str
    key: str
    expected: str
    unit: str = ""
    is_secret: bool = False


def setting(
    default: Any, name: str, key: str, help: str, expected: str, *, unit: str = "", secret: bool = False
) -> Any:
    """Return the field of one setting; a callable default is made anew each time."""
    entry: Any = Entry(name, key, expected, unit, secret)
    if callable(default):
        return Field(default_factory=default, description=help, json_schema_extra={"entry": entry})
    return Field(default=default, description=help, json_schema_extra={"entry": entry})
