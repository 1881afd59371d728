"""The folder `.portside` beside a description: what was applied, its files, and the lock of who applies."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from portside.deploy import history
from portside.deploy.history import Entry, Known
from portside.deploy.releases import KEPT, Releases
from portside.errors import PortsideError

FOLDER: Final = ".portside"


@dataclass(frozen=True, slots=True)
class State:
    """The paths of a project's deployments below `root`."""

    root: Path

    @property
    def history(self) -> Path:
        """What was applied, a line before and a line after."""
        return self.root / "history.jsonl"

    @property
    def lock(self) -> Path:
        """Locked as long as something is being applied."""
        return self.root / "apply.lock"

    @property
    def releases(self) -> Releases:
        """The files of what was applied."""
        return Releases(self.root / "releases")

    def create(self) -> None:
        """Make the folder, which is no part of the project's sources. Raises PortsideError where it cannot be."""
        try:
            self.root.mkdir(exist_ok=True)
            ignored = self.root / ".gitignore"
            if not ignored.exists():
                ignored.write_text("*\n", encoding="ascii")
        except OSError as error:
            raise PortsideError(f"{self.root} cannot be made: {error.strerror}") from error

    def load(self) -> Known:
        """Return what was applied. Raises PortsideError where that cannot be read."""
        return history.load(self.history)

    def prune(self, known: Known) -> None:
        """Remove the files of all but the last five releases of each deployment that were good."""
        wanted = set[str]()
        for place in {(entry.started.platform, entry.started.place) for entry in known.entries}:
            wanted.update(kept(known.at(*place)))
        self.releases.prune(wanted)


def of(project: Path) -> State:
    """Return the state of the project in a folder."""
    return State(project.resolve() / FOLDER)


def kept(entries: tuple[Entry, ...]) -> tuple[str, ...]:
    """Return the releases of a deployment whose files are kept, the last one first; the same one counts once."""
    good = [entry.started.release for entry in reversed(entries) if entry.outcome == "applied"]
    back = history.last_good(entries)
    first = [] if back is None else [back.started.release]
    return tuple(dict.fromkeys([*first, *good]))[:KEPT]
