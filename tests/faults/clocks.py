"""A process whose wall clock is wrong by as much as a test says, or whose clocks all run faster than ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

_SAFE: Final[Mapping[str, str]] = {
    # A workaround for a C library before 2.25, with which every timed wait ends at once: threads would spin.
    "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    # Files keep their times: else every module is compiled anew, and what that leaves behind fits nobody.
    "NO_FAKE_STAT": "1",
}
_OPTIONS: Final[Mapping[str, str]] = {**_SAFE, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
"""With the monotonic clock right, which no machine's own time service ever changes."""

_LIBRARIES: Final = ("/usr/lib/*/faketime", "/usr/lib/faketime", "/usr/local/lib/faketime")


@dataclass(frozen=True, slots=True)
class Shifted:
    """A clock in a file: what `environment` is given to reads the time from it, again with every question."""

    file: Path
    library: Path

    @classmethod
    def make(cls, folder: Path, seconds: float = 0) -> "Shifted":
        """Make a clock that is wrong by so many seconds. Skips the calling test where libfaketime is not installed."""
        clock = cls(folder / "clock", library())
        clock.shift(seconds)
        return clock

    def shift(self, seconds: float) -> None:
        """Be wrong by so many seconds from now on: ahead, or behind where negative."""
        aside = self.file.with_suffix(".new")
        aside.write_text(f"{seconds:+f}\n", encoding="ascii")
        aside.replace(self.file)

    @property
    def environment(self) -> Mapping[str, str]:
        """What a process is started with to be under this clock."""
        return {
            "LD_PRELOAD": str(self.library),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            **_OPTIONS,
        }


def wrong_by(seconds: float) -> Mapping[str, str]:
    """Return what a process is started with to be wrong by so many seconds all its life.

    Much cheaper than a clock that changes. Skips the calling test where libfaketime is not installed.
    """
    return {"LD_PRELOAD": str(library()), "FAKETIME": f"{seconds:+f}s", **_OPTIONS}


def faster(times: int) -> Mapping[str, str]:
    """Return what a process is started with whose hour is so many times shorter than ours, by every clock it has.

    What it does after minutes can be seen within seconds; what it allows others is shortened as well. Skips the calling
    test where libfaketime is not installed.
    """
    return {"LD_PRELOAD": str(library()), "FAKETIME": f"+0 x{times}", **_SAFE}


def library() -> Path:
    """Return libfaketime; skip the calling test where it is not installed."""
    for pattern in _LIBRARIES:
        for found in sorted(Path("/").glob(f"{pattern[1:]}/libfaketimeMT.so.1")):
            return found
    pytest.skip("libfaketime is missing: run tests/install-servers")
