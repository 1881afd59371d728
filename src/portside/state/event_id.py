"""The ids of stored events: `<stream>.<sequence>`, one sequence a session, so that an id names stream and place."""

from typing import Final

_MOST_DIGITS: Final = 15
"""Numbers of more digits are none of ours, and would not be exact in Redis's scripts."""


def place(event_id: str) -> tuple[int, str] | None:
    """Return an id's sequence and stream; None for what can be no id of ours, whoever made it up."""
    stream, _, digits = event_id.rpartition(".")
    if not stream or not (digits.isascii() and digits.isdigit()) or len(digits) > _MOST_DIGITS or digits[0] == "0":
        return None
    return int(digits), stream
