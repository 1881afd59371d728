"""What runs against what was applied last: parts missing, files changed, and what waits to be applied."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from portside.deploy import history, releases, render
from portside.deploy import spec as specs
from portside.deploy.engines.registry import ENGINES
from portside.deploy.engines.shape import Piece
from portside.deploy.history import Entry
from portside.deploy.perform import Performer
from portside.deploy.project import Project
from portside.deploy.state import State


@dataclass(frozen=True, slots=True)
class Status:
    """One deployment. `last` is the apply in force, None where there is none; `unsettled` one that was left half done.

    `changed` are rendered files that are not as they were applied, `waiting` those the description would make
    otherwise by now. Both are paths below `folder`.
    """

    platform: str
    place: str
    folder: Path
    last: Entry | None
    unsettled: Entry | None
    pieces: tuple[Piece, ...]
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    waiting: tuple[str, ...]

    @property
    def other_images(self) -> tuple[Piece, ...]:
        """Pieces of the server that run another image than the one applied."""
        if self.last is None:
            return ()
        applied = self.last.started.image
        return tuple(
            piece
            for piece in self.pieces
            if piece.image not in (None, applied) and _repository(piece.image or "") == _repository(applied)
        )

    @property
    def is_as_wanted(self) -> bool:
        """Whether all that was applied runs, is ready, and is what was applied."""
        drifted = self.unsettled or self.missing or self.changed or self.other_images
        return self.last is not None and not drifted and all(piece.is_ready for piece in self.pieces)


def _repository(image: str) -> str:
    return image.rpartition("/")[2].partition("@")[0].partition(":")[0]


async def look(project: Project, platform: str, state: State, performer: Performer) -> Status:
    """Return the status of a deployment. Raises PortsideError where what runs cannot be known."""
    spec, engine = specs.spec(project, platform), ENGINES[platform]
    folder = render.folder(project.folder, platform).resolve()
    entries = state.load().at(platform, engine.place(spec))
    last = history.last_good(entries)
    applied = {} if last is None else last.started.files
    wanted = () if last is None else last.started.parts
    pieces = await performer.observe(allowed=0)
    made = releases.digests(render.PLATFORMS[platform].render(spec))
    return Status(
        platform,
        engine.place(spec),
        folder,
        last,
        None if history.is_settled(entries) else entries[-1],
        pieces,
        tuple(part for part in wanted if part not in {piece.part for piece in pieces}),
        tuple(path for path, digest in applied.items() if _digest(folder / path) != digest),
        tuple(path for path in {**made, **applied} if made.get(path) != applied.get(path)),
    )


def _digest(path: Path) -> str | None:
    try:
        return releases.digest(path.read_bytes())
    except OSError:
        return None  # as good as another one: what was applied is not there


def as_lines(one: Status) -> str:
    """Return a status for people."""
    return "\n".join(_lines(one))


def _lines(one: Status) -> Iterator[str]:
    if one.last is None:
        yield f"{one.platform} {one.place}: nothing was applied"
    else:
        said = one.last.started
        yield f"{one.platform} {one.place}: {said.release} of {said.image}, applied {said.at} by {said.user}"
    if one.unsettled is not None:
        yield f"  {one.unsettled.outcome}  the apply of {one.unsettled.started.at} left things half done, or runs still"
    rows = [(piece.state, piece.part, piece.name, piece.trouble or "") for piece in one.pieces]
    rows += [("missing", part, "", "") for part in one.missing]
    yield from _table(rows)
    yield from (f"  another image  {piece.part}: {piece.image}" for piece in one.other_images)
    yield from (f"  changed since it was applied  {one.folder / path}" for path in one.changed)
    yield from (f"  would change if applied now   {one.folder / path}" for path in one.waiting if one.last is not None)


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(4)] if rows else []
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  " + "  ".join(cells).rstrip()


def as_json(found: Sequence[Status]) -> str:
    """Return statuses for programs."""
    return json.dumps([_tree(one) for one in found], indent=2)


def _tree(one: Status) -> dict[str, object]:
    last = None if one.last is None else one.last.started
    return {
        "platform": one.platform,
        "place": one.place,
        "is_as_wanted": one.is_as_wanted,
        "applied": None if last is None else history.facts(last),
        "unsettled": None if one.unsettled is None else one.unsettled.started.id,
        "pieces": [
            {
                "part": piece.part,
                "name": piece.name,
                "state": piece.state,
                "is_ready": piece.is_ready,
                "image": piece.image,
                "trouble": piece.trouble,
            }
            for piece in one.pieces
        ],
        "missing": one.missing,
        "other_images": [piece.part for piece in one.other_images],
        "changed": one.changed,
        "waiting": one.waiting,
    }
