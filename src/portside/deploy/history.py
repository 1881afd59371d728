"""What was applied: a line before and a line after, in a file beside the description.

The durable records are the deployment's own, and mostly out of reach of the machine that applies; so this is a file.
"""

import os
import pwd
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from portside.errors import PortsideError

VERSION: Final = 1

Outcome = Literal["applied", "rolled_back", "removed", "failed"]
"""`removed`: a first deployment was taken down again. `failed`: what was left is neither the new nor the old one."""


class Started(msgspec.Struct, frozen=True, tag_field="event", tag="started", kw_only=True):
    """An apply that has begun. `place` is where, in the platform's words; `parts` is what was meant to run there.

    `files` has the digest (SHA-256, hex) of every rendered file by its path, `release` one of all of them,
    `description` that of portside.toml. `at` is a moment (ISO 8601, UTC).
    """

    id: str
    at: str
    platform: str
    place: str
    name: str
    image: str
    release: str
    description: str
    files: dict[str, str]
    parts: tuple[str, ...]
    portside: str
    user: str
    host: str
    version: int = VERSION


class Ended(msgspec.Struct, frozen=True, tag_field="event", tag="ended", kw_only=True):
    """How the apply of this id ended. `back_to` is the id of the one that was gone back to."""

    id: str
    at: str
    outcome: Outcome
    duration_s: float
    error: str | None = None
    back_to: str | None = None
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class Entry:
    """One apply. Without an end it still runs, or whoever did it died."""

    started: Started
    ended: Ended | None = None

    @property
    def outcome(self) -> Outcome | Literal["unknown"]:
        """How it ended."""
        return "unknown" if self.ended is None else self.ended.outcome


@dataclass(frozen=True, slots=True)
class Known:
    """Every apply there was, the oldest first. `unreadable` counts lines that are torn, or from a later version."""

    entries: tuple[Entry, ...]
    unreadable: int = 0

    def at(self, platform: str, place: str) -> tuple[Entry, ...]:
        """Return those of one deployment."""
        return tuple(one for one in self.entries if (one.started.platform, one.started.place) == (platform, place))


_decoder: Final = msgspec.json.Decoder(Started | Ended)


def load(file: Path) -> Known:
    """Return what the file says; nothing where there is none. Raises PortsideError where it cannot be read."""
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        return Known(())
    except OSError as error:
        raise PortsideError(f"{file} cannot be read: {error.strerror}") from error
    entries, unreadable = dict[str, Entry](), 0
    for line in lines:
        try:
            found = _decoder.decode(line)
        except msgspec.DecodeError:
            unreadable += 1
            continue
        if isinstance(found, Started):
            entries[found.id] = Entry(found)
        elif found.id in entries:
            entries[found.id] = Entry(entries[found.id].started, found)
    return Known(tuple(entries.values()), unreadable)


def append(file: Path, line: Started | Ended) -> None:
    """Add a line, for good or not at all. Raises PortsideError where that cannot be."""
    try:
        with file.open("ab+", buffering=0) as stream:
            size = stream.seek(0, os.SEEK_END)
            try:
                _write(stream.fileno(), b"" if _ends_well(stream.fileno(), size) else b"\n")
                _write(stream.fileno(), msgspec.json.encode(line) + b"\n")
                os.fsync(stream.fileno())
            except OSError:
                os.ftruncate(stream.fileno(), size)
                raise
    except OSError as error:
        raise PortsideError(
            f"{file} cannot be written: {error.strerror}", hint="nothing can be put on record"
        ) from error


def _ends_well(descriptor: int, size: int) -> bool:
    """Return whether the last line is whole; a torn one must not take the next one with it."""
    return size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def last_good(entries: Sequence[Entry]) -> Entry | None:
    """Return the apply whose files were in force last, for all that is known; None where there was none."""
    good: Entry | None = None
    for entry in entries:
        if entry.outcome == "applied":
            good = entry
        elif entry.outcome == "removed":
            good = None
        elif entry.ended is not None and entry.ended.back_to is not None:
            good = next((one for one in entries if one.started.id == entry.ended.back_to), good)
    return good


def is_settled(entries: Sequence[Entry]) -> bool:
    """Return whether what was in force last is what is in force now: the last apply has ended, and not half done."""
    return not entries or entries[-1].outcome in ("applied", "rolled_back", "removed")


def facts(one: Started) -> dict[str, str]:
    """Return what an apply is known by, for programs."""
    return {"id": one.id, "at": one.at, "release": one.release, "image": one.image}


def moment(seconds: float) -> str:
    """Return seconds since the epoch as people and programs read them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def user() -> str:
    """Return who runs this process, as the system knows him; what the environment says anybody can say."""
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def host() -> str:
    """Return the name of this machine."""
    return socket.gethostname()
