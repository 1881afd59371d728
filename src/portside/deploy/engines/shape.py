"""What a platform has to know for `deploy apply`: its module is one of these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from portside.command import Command
from portside.errors import PortsideError
from portside.targets.spec import Spec

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """Commands one after the other, until one fails. Where they `may_fail`, what follows is done all the same."""

    commands: tuple[Command, ...]
    may_fail: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing that runs, in the platform's words. `part` is what of the deployment it is a piece of.

    `id` tells it from its successor. `trouble` says why it will not come up by itself.
    """

    part: str
    name: str
    id: str
    state: str
    is_ready: bool
    image: str | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """From the files in force to those that shall be, by path. `before` is empty where those are not known any more.

    `kept` is the folder where those before are kept. `deadline_s` is for all of it. `is_first`: nothing was in force.
    """

    spec: Spec
    before: Mapping[str, str]
    after: Mapping[str, str]
    kept: Path | None
    deadline_s: int
    is_first: bool = False

    def has_changed(self, path: str) -> bool:
        """Return whether a file is another one than before, as far as that is known."""
        return self.before.get(path) != self.after.get(path)

    @property
    def gone(self) -> tuple[str, ...]:
        """Paths that were there before and are no more."""
        return tuple(path for path in self.before if path not in self.after)


class Engine(Protocol):
    """A platform's module. Commands run in the folder that the rendered files are below."""

    @property
    def DEADLINE_S(self) -> int:  # noqa: N802
        """How long an apply may take unless somebody says otherwise."""
        ...

    @property
    def WATCH_S(self) -> float | None:  # noqa: N802
        """How long between two looks at what comes up; None where the commands themselves say why it does not."""
        ...

    def place(self, spec: Spec) -> str:
        """Return where the deployment is: two with the same place are the same one."""
        ...

    def needed(self, spec: Spec) -> tuple[str, ...]:
        """Return the paths of files that somebody must have put beside the rendered ones."""
        ...

    def parts(self, spec: Spec) -> tuple[str, ...]:
        """Return what must run, by the names that pieces tell."""
        ...

    def observe(self, spec: Spec) -> Command:
        """Return what prints what runs; it succeeds where nothing does."""
        ...

    def pieces(self, text: str) -> tuple[Piece, ...]:
        """Return what runs from what `observe` printed. Raises PortsideError for anything else."""
        ...

    def words(self, spec: Spec, pieces: Sequence[Piece]) -> tuple[Command, ...]:
        """Return what prints the last words of pieces that are not ready."""
        ...

    def apply(self, change: Change) -> tuple[Step, ...]:
        """Return what brings the files into force, and is done once all is healthy."""
        ...

    def restore(self, change: Change, running: Sequence[Piece]) -> tuple[Step, ...]:
        """Return what brings former files into force again, which are in place. `running`: what ran before."""
        ...

    def undo(self, spec: Spec, running: Sequence[Piece]) -> tuple[Step, ...]:
        """Return what goes back to what the platform itself remembers; nothing where it remembers nothing."""
        ...

    def remove(self, spec: Spec) -> tuple[Step, ...]:
        """Return what takes down a first deployment that failed, but for what holds data."""
        ...


def decoded(text: str, shape: type[T], what: str) -> T:
    """Return JSON as what it should be. Raises PortsideError where it is something else."""
    try:
        return msgspec.json.decode(text or "null", type=shape)
    except msgspec.DecodeError as error:
        raise PortsideError(f"{what} printed something else than expected: {error}") from error
