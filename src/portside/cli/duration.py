"""Durations as people type them."""

import re
from typing import Any, Final

import click

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_TEXT: Final = re.compile(r"([1-9][0-9]{0,8})([smhd])")


class Duration(click.ParamType[int]):
    """`30s`, `15m`, `12h`, `90d`, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the seconds of a text. Raises UsageError for another form."""
        match = _TEXT.fullmatch(str(value))
        if match is None:
            self.fail(f"{value!r}: expected a duration such as 30s, 15m, 12h or 90d", param, ctx)
        return int(match[1]) * _UNITS[match[2]]


DURATION: Final = Duration()
