"""Rendered files and where they go: written aside and renamed, and never over what somebody else wrote."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from portside.errors import PortsideError
from portside.targets import cloudrun, compose, image
from portside.targets.dump import HEAD
from portside.targets.ecs import target as ecs
from portside.targets.file import File, Finding
from portside.targets.kubernetes import target as kubernetes
from portside.targets.observability import files as observability
from portside.targets.spec import Spec


@dataclass(frozen=True, slots=True)
class Target:
    """What a platform's module makes of a Spec, and what it says of it; paths of its findings are those of the Spec."""

    render: Callable[[Spec], tuple[File, ...]]
    check: Callable[[Spec], tuple[Finding, ...]]


PLATFORMS: Final[Mapping[str, Target]] = {
    "image": Target(image.render, lambda _: ()),
    "compose": Target(compose.render, lambda _: ()),
    "kubernetes": Target(kubernetes.render, kubernetes.check),
    "ecs": Target(ecs.render, ecs.check),
    "cloudrun": Target(cloudrun.render, cloudrun.check),
    "observability": Target(observability.render, lambda _: ()),
}
"""What can be rendered, by the name of the platform; the last is what watches a deployment on any of the others."""

RENDERED: Final = ".rendered"
"""Beside files that hold no comment: what portside wrote into them, as `sha256sum` prints it."""

_HEAD_CHARACTERS: Final = 400

State = Literal["new", "changed", "same"]


@dataclass(frozen=True, slots=True)
class Written:
    """A rendered file in its place, and what was there before."""

    path: Path
    state: State


def folder(project: Path, platform: str) -> Path:
    """Return where a platform's files go unless somebody says otherwise: an image is built in the project itself.

    All others have a folder of the platform's name in what is returned.
    """
    return project if platform == "image" else project / "deploy"


def plan(files: Sequence[File], out: Path, *, force: bool = False) -> tuple[Written, ...]:
    """Return what writing the files below `out` would do, without doing it.

    Raises PortsideError where that would overwrite a file that portside did not make, unless `force`.
    """
    planned = tuple(Written(out / file.path, _state(out / file.path, file.text)) for file in files)
    foreign = [str(one.path) for one in planned if one.state == "changed" and not _is_ours(one.path)]
    if foreign and not force:
        raise PortsideError(
            f"not made by portside, so not overwritten: {', '.join(foreign)}",
            hint="move it away, render into another folder with --out, or overwrite it with --force",
        )
    return planned


def write(files: Sequence[File], out: Path, *, force: bool = False) -> tuple[Written, ...]:
    """Write the files below `out` and return what that did. Raises PortsideError as `plan`, and where it cannot."""
    planned = plan(files, out, force=force)
    _remember(files, out)
    for file, one in zip(files, planned, strict=True):
        if one.state != "same":
            _replace(one.path, file.text)
    return planned


def _state(path: Path, text: str) -> State:
    found = _read(path)
    if found is None:
        return "new"
    return "same" if found == text.encode() else "changed"


def _is_ours(path: Path) -> bool:
    found = _read(path) or b""
    return _has_head(found) or _line(path.name, found) in _remembered(path.parent)


def _has_head(content: bytes) -> bool:
    return HEAD.encode() in content[:_HEAD_CHARACTERS]


def _remember(files: Sequence[File], out: Path) -> None:
    """Write down what files without a comment are about to hold, and keep what they hold now.

    Before they are written: whichever of both a crash leaves behind is known to be ours.
    """
    silent = [file for file in files if not _has_head(file.text.encode())]
    for folder in sorted({(out / file.path).parent for file in silent}):
        known = _remembered(folder)
        lines: list[str] = []
        for path, text in ((out / file.path, file.text) for file in silent):
            if path.parent == folder:
                now, next_ = _line(path.name, _read(path) or b""), _line(path.name, text.encode())
                lines += [*([now] if now in known and now != next_ else []), next_]
        made = f"# {HEAD}\n" + "".join(f"{line}\n" for line in lines)
        if _read(folder / RENDERED) != made.encode():
            _replace(folder / RENDERED, made)


def _remembered(folder: Path) -> frozenset[str]:
    found = _read(folder / RENDERED) or b""
    return frozenset(found.decode(errors="replace").splitlines())


def _line(name: str, content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()}  {name}"


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PortsideError(f"{path} cannot be read: {error.strerror}") from error


def _replace(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            aside = Path(file.name)
            try:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
                # Nothing in it is secret, and containers read it as somebody else.
                aside.chmod(0o644)
                aside.replace(path)
            except BaseException:
                aside.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise PortsideError(f"{path} cannot be written: {error.strerror}") from error
