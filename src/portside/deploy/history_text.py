"""What was applied, for people and for programs."""

import json
from collections.abc import Sequence

import msgspec

from portside.deploy.history import Entry

_HEAD = ("when", "platform", "place", "image", "release", "by", "outcome", "took")


def as_table(entries: Sequence[Entry]) -> str:
    """Return a line for each, with a head; why one failed stands below it."""
    rows = [_HEAD, *(_row(entry) for entry in entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines: list[str] = []
    for number, row in enumerate(rows):
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        ended = entries[number - 1].ended if number else None
        if ended is not None and ended.error is not None:
            lines.append(f"  {ended.error}")
    return "\n".join(lines)


def as_json(entries: Sequence[Entry]) -> str:
    """Return all that is known of each; one without an end has none."""
    return json.dumps([_tree(entry) for entry in entries], indent=2)


def _row(entry: Entry) -> tuple[str, ...]:
    started, ended = entry.started, entry.ended
    outcome = entry.outcome.replace("_", " ")
    if ended is not None and ended.back_to is not None:
        outcome += f" to {ended.back_to}"
    took = "" if ended is None else f"{ended.duration_s:.0f} s"
    return (
        started.at,
        started.platform,
        started.place,
        started.image,
        f"{started.release} ({started.id})",
        f"{started.user}@{started.host}",
        outcome,
        took,
    )


def _tree(entry: Entry) -> dict[str, object]:
    started: dict[str, object] = msgspec.to_builtins(entry.started)
    ended: dict[str, object] | None = None if entry.ended is None else msgspec.to_builtins(entry.ended)
    return {"outcome": entry.outcome, "started": started, "ended": ended}
