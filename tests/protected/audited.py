"""A deployment whose calls are on record, and what its log says to somebody who reads and verifies it from outside."""

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pytest

from tests import installed
from tests.protected.made import Deployment

Kind = Literal["file", "database"]


@dataclass(frozen=True)
class Audited:
    """The log in files of `place`, or in a SQLite database there; `public` is the key a verifier trusts."""

    deployment: Deployment
    kind: Kind
    place: Path
    public: str

    @classmethod
    def make(cls, folder: Path, kind: Kind, place: Path | None = None) -> "Audited":
        key = folder / "audit.key"
        public = _portside("audit", "init-key", str(key)).stdout.strip()
        return cls(Deployment(folder), kind, folder / "log" if place is None else place, public)

    def environment(self, **more: str) -> dict[str, str]:
        """Return the variables that put calls on record, refusing those that cannot be."""
        ours = {
            "PORTSIDE_AUDIT": self.kind,
            "PORTSIDE_AUDIT_KEY_PATH": str(self.deployment.folder / "audit.key"),
            "PORTSIDE_AUDIT_DIR": str(self.place),
        }
        return {**ours, "PORTSIDE_DATABASE_URL": self.url, **more}

    @property
    def url(self) -> str:
        """Where the database is."""
        return f"sqlite:///{self.place / 'portside.db'}"

    def entries(self) -> list[dict[str, Any]]:
        """Return every entry of the log, in no order that means anything."""
        done = _portside("audit", "tail", *self._source, "-n", "10000000", "--json", url=self.url)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def started(self) -> set[str]:
        """Return the request ids of all tool calls that are on record as let through."""
        events = [one["event"] for one in self.entries() if "event" in one]
        calls = [one for one in events if one.get("outcome") == "started"]
        return {one["what"]["request"] for one in calls if one["what"]["method"] == "tools/call"}

    def verify(self, as_of: datetime | None = None) -> subprocess.CompletedProcess[str]:
        """Return how `portside audit verify` ended: code 0 where nothing was found."""
        moment = () if as_of is None else ("--as-of", as_of.isoformat())
        arguments = ("audit", "verify", *self._source, "--key", self.public, *moment)
        return _portside(*arguments, url=self.url, is_checked=False)

    @property
    def _source(self) -> tuple[str, ...]:
        return (str(self.place),) if self.kind == "file" else ("--database",)


@contextmanager
def small_disk(folder: Path, size: str) -> Generator[Path]:
    """Mount a file system of `size` on a folder for the block; skip the calling test where that cannot be done."""
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("no file system can be mounted here: run this as root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _portside(*arguments: str, url: str | None = None, is_checked: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {} if url is None else {"PORTSIDE_DATABASE_URL": url}
    done = installed.run([sys.executable, "-m", "portside", *arguments], environment=environment, timeout_s=600)
    if is_checked and done.returncode != 0:
        raise AssertionError(done.stderr)
    return done
