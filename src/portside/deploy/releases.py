"""The rendered files of what was applied, kept so that going back means the very same files."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from portside.deploy import render
from portside.errors import PortsideError
from portside.targets.file import File

KEPT: Final = 5
"""How many successful ones of a deployment are kept."""


def digests(files: Sequence[File]) -> dict[str, str]:
    """Return the SHA-256 (hex) of every file by its path."""
    return {file.path: digest(file.text.encode()) for file in files}


def digest(content: bytes) -> str:
    """Return the SHA-256 (hex) of a file's content."""
    return hashlib.sha256(content).hexdigest()


def name(of: Mapping[str, str]) -> str:
    """Return twelve letters that stand for all files with these digests."""
    return digest(json.dumps(of, sort_keys=True).encode())[:12]


@dataclass(frozen=True, slots=True)
class Releases:
    """The folder with one folder for each."""

    root: Path

    def folder(self, release: str) -> Path:
        """Return where the files of one are, below their paths."""
        return self.root / release

    def keep(self, files: Sequence[File]) -> str:
        """Keep files and return the name of the release, which is the same for the same files.

        They are there whole or not at all. Raises PortsideError where they cannot be kept.
        """
        wanted = digests(files)
        release = name(wanted)
        if self._found(release) == wanted:
            return release
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".new-", dir=self.root) as folder:
                made = Path(folder) / "files"
                render.write(files, made, force=True)
                shutil.rmtree(self.folder(release), ignore_errors=True)
                made.rename(self.folder(release))
        except OSError as error:
            raise PortsideError(f"{self.folder(release)} cannot be written: {error.strerror}") from error
        return release

    def load(self, release: str, wanted: Mapping[str, str]) -> tuple[File, ...]:
        """Return the files of one. Raises PortsideError unless they are the very same that have these digests."""
        if self._found(release) != dict(wanted):
            raise PortsideError(f"{self.folder(release)} is not what was applied: files are missing or were changed")
        return tuple(File(path, (self.folder(release) / path).read_text(encoding="utf-8")) for path in wanted)

    def has(self, release: str, wanted: Mapping[str, str]) -> bool:
        """Return whether the files of one are there, and the very same."""
        return self._found(release) == dict(wanted)

    def prune(self, wanted: Collection[str]) -> None:
        """Remove all that are not wanted."""
        if self.root.is_dir():
            for folder in self.root.iterdir():
                if folder.name not in wanted:
                    shutil.rmtree(folder, ignore_errors=True)

    def _found(self, release: str) -> dict[str, str]:
        folder = self.folder(release)
        try:
            paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != render.RENDERED]
            return {path.relative_to(folder).as_posix(): digest(path.read_bytes()) for path in paths}
        except OSError as error:
            raise PortsideError(f"{folder} cannot be read: {error.strerror}") from error
