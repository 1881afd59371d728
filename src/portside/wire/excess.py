"""The refusal of what is asked too often, wherever it was counted."""

from portside.wire import refusal
from portside.wire.refusal import Refusal


def too_many(what: str, *, most: int, window_ms: int, retry_after_ms: int, id: str | int | None = None) -> Refusal:
    """Return what a caller is told that has used up a limit of `most` within `window_ms`: 429, and when to come back.

    `what` was counted, in the plural: requests, calls of a tool. A header says whole seconds, rounded up.
    """
    seconds = seconds_of(retry_after_ms)
    return Refusal(
        refusal.TOO_MANY,
        f"too many {what}: at most {most} within {window_ms / 1000:g} s; try again in {seconds} s",
        data={"retryAfterMs": retry_after_ms},
        id=id,
        headers={"retry-after": str(seconds)},
    )


def seconds_of(milliseconds: int) -> int:
    """Return whole seconds, rounded up: whoever waits that long has waited long enough."""
    return -(-milliseconds // 1000)
