"""What an apply would do, decided before anything is done: files, commands, and what it would go back to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from portside.deploy import history, releases, render
from portside.deploy import spec as specs
from portside.deploy.engines.registry import ENGINES
from portside.deploy.engines.shape import Change, Engine, Step
from portside.deploy.history import Entry
from portside.deploy.project import Project
from portside.deploy.state import State
from portside.targets.file import File, Finding
from portside.targets.spec import Spec

Fate = Literal["new", "changed", "same", "gone"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A rendered file against the one on disk, and against the one applied last."""

    path: str
    on_disk: Fate
    applied: Fate


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an apply would do. `folder` is where commands run, with the rendered files below it.

    `good` is what it would go back to, if the files of that are still kept whole (`is_kept`). `unsettled` is the last
    apply where that was left half done, or has no end.
    """

    platform: str
    place: str
    spec: Spec
    folder: Path
    files: tuple[File, ...]
    digests: Mapping[str, str]
    release: str
    description: str
    differences: tuple[Difference, ...]
    steps: tuple[Step, ...]
    deadline_s: int
    good: Entry | None
    is_kept: bool
    unsettled: Entry | None

    @property
    def engine(self) -> Engine:
        """The platform's module."""
        return ENGINES[self.platform]

    @property
    def is_change(self) -> bool:
        """Whether any file is another one than what was applied last."""
        return any(one.applied != "same" for one in self.differences)


def missing(project: Project, platform: str) -> tuple[Finding, ...]:
    """Return what must be beside the rendered files before anything starts, and is not."""
    folder = render.folder(project.folder, platform)
    needed = ENGINES[platform].needed(specs.spec(project, platform))
    return tuple(
        Finding("error", str(folder / path), "is missing; the head of the rendered file says what it is")
        for path in needed
        if not _exists(folder / path)
    )


def make(project: Project, platform: str, state: State, *, force: bool, deadline_s: int | None) -> Plan:
    """Return the plan for a project whose rules found no errors, as things are now.

    Raises PortsideError where it would overwrite a file that portside did not make, unless `force`.
    """
    spec, engine = specs.spec(project, platform), ENGINES[platform]
    folder = render.folder(project.folder, platform).resolve()
    files = render.PLATFORMS[platform].render(spec)
    entries = state.load().at(platform, engine.place(spec))
    good, is_settled = history.last_good(entries), history.is_settled(entries)
    former = None if good is None else _kept(good, state)
    before = _texts(former or ()) if is_settled else {}
    kept = None if good is None else state.releases.folder(good.started.release)
    seconds = deadline_s or engine.DEADLINE_S
    change = Change(spec, before, _texts(files), kept, seconds, is_first=good is None)
    digests = releases.digests(files)
    return Plan(
        platform=platform,
        place=engine.place(spec),
        spec=spec,
        folder=folder,
        files=files,
        digests=digests,
        release=releases.name(digests),
        description=releases.digest(project.file.read_bytes()),
        differences=_differences(render.plan(files, folder, force=force), digests, good),
        steps=engine.apply(change),
        deadline_s=seconds,
        good=good,
        is_kept=former is not None,
        unsettled=None if is_settled else entries[-1],
    )


def _kept(good: Entry, state: State) -> tuple[File, ...] | None:
    """Return the files of a former apply, None where they are not there whole any more."""
    release, digests = good.started.release, good.started.files
    return state.releases.load(release, digests) if state.releases.has(release, digests) else None


def _texts(files: Sequence[File]) -> dict[str, str]:
    return {file.path: file.text for file in files}


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except PermissionError:
        return True  # of a folder that is for containers alone; they will say if not
    except OSError:
        return False
    return True


def _differences(
    on_disk: Sequence[render.Written], digests: Mapping[str, str], good: Entry | None
) -> tuple[Difference, ...]:
    applied = {} if good is None else good.started.files
    known = [
        Difference(path, one.state, _against(applied.get(path), digest))
        for one, (path, digest) in zip(on_disk, digests.items(), strict=True)
    ]
    return (*known, *(Difference(path, "gone", "gone") for path in applied if path not in digests))


def _against(applied: str | None, digest: str) -> Fate:
    if applied is None:
        return "new"
    return "same" if applied == digest else "changed"
