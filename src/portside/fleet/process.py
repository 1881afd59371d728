"""Processes that outlive whoever started them: started in sessions of their own, and known again by start time."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_DEAD: Final = ("Z", "X")


@dataclass(frozen=True, slots=True)
class Process:
    """A process of this machine. `started` tells it from a later one with the same pid, also after a reboot."""

    pid: int
    started: str


NO_PROCESS: Final = Process(0, "")
"""Stands for one that could not be started; it never runs."""


def identify(pid: int) -> Process | None:
    """Return the running process with this pid, None where there is none; a zombie does not run."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # proc(5): the command may hold blanks and brackets
    return None if fields[0] in _DEAD else Process(pid, f"{_boot()}:{fields[19]}")


def is_alive(process: Process) -> bool:
    """Say whether this very process still runs."""
    return identify(process.pid) == process


def is_supported() -> bool:
    """Say whether this machine tells about processes the way this module asks."""
    return (_PROC / "self" / "stat").exists()


def find(*parts: str, variables: Mapping[str, str] | None = None) -> Process | None:
    """Return a process of ours whose command has each of `parts` as an argument, and these variables at its start.

    For what was started, but not written down before its parent died.
    """
    wanted = {f"{name}={value}".encode() for name, value in (variables or {}).items()}
    for folder in _PROC.glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile, or is somebody else's
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
            if folder.stat().st_uid != os.geteuid() or not {part.encode() for part in parts} <= set(arguments):
                continue
            if wanted <= set((folder / "environ").read_bytes().split(b"\0")):
                return identify(int(folder.name))
    return None


class Children:
    """The processes this one has started, so that how they ended is known and none stays a zombie."""

    def __init__(self) -> None:
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._ended: dict[int, str] = {}

    def start(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> Process:
        """Start a program in a session of its own, its output appended to `log`. Raises OSError."""
        with log.open("ab") as output:
            child = subprocess.Popen(  # noqa: S603
                list(command),
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._running[child.pid] = child
        self._ended.pop(child.pid, None)
        # A process that has ended at once has no start time any more; nothing equals it, so it counts as ended.
        return identify(child.pid) or Process(child.pid, "")

    def reap(self) -> None:
        """Note which of them have ended, and end what is left of their groups: children they left behind."""
        for pid, child in list(self._running.items()):
            # As long as it is a zombie, nobody else can have its number.
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                continue
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            code = child.wait()
            self._ended[pid] = f"ended with code {code}" if code >= 0 else f"ended by {_signal(-code)}"
            del self._running[pid]

    def ended(self, process: Process) -> str:
        """Return how a process ended, in words."""
        return self._ended.get(process.pid, "ended")


def send(process: Process, number: signal.Signals) -> None:
    """Send a signal to this very process, if it still runs."""
    if is_alive(process):
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def kill_group(process: Process) -> None:
    """End this very process, if it still runs, and its whole group, at once."""
    if is_alive(process):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@cache
def _boot() -> str:
    return (_PROC / "sys" / "kernel" / "random" / "boot_id").read_text(encoding="ascii").strip()
