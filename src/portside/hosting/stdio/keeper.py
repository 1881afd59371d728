"""The parent of one stdio child: starts it, limits it, and leaves nothing of it behind, also when portside is killed.

Run as a script by the standard library alone, and by little of it, so that it starts in milliseconds and stays small:
`python -I -S keeper.py --control=FD [--grace=S] [--folder=DIR] [--umask=N] [--limit=NAME:N]… -- COMMAND…`. Its
environment is the child's, so that no secret shows in a list of processes. Stdin, stdout and stderr are the child's.

The control socket carries lines up: `started PID`, `failed REASON`, `exited CODE`, `killed SIGNAL`. Down it carries
`k` (kill now); its end, which also comes when portside dies in any way, means SIGTERM, the grace, then SIGKILL.
"""

import contextlib
import ctypes
import os
import resource
import select
import signal
import socket
import sys
import time
from types import FrameType
from typing import Final, NoReturn

PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
ROUND_S: Final = 0.01
SLOWEST_ROUND_S: Final = 0.5
ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
IS_LINUX: Final = sys.platform == "linux"


class Order:
    """What the command line says. `limits` holds the resource and its value; -1 and "" leave a thing as it is."""

    def __init__(self) -> None:
        self.control = -1
        self.grace_s = 5.0
        self.folder = ""
        self.umask = -1
        self.limits: list[tuple[int, int]] = []
        self.command: list[str] = []


def parse(arguments: list[str]) -> Order:
    """Return the order in `arguments`. Raises ValueError for one that is not understood."""
    order = Order()
    for index, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        match name:
            case "--":
                order.command = arguments[index + 1 :]
                break
            case "--control":
                order.control = int(value)
            case "--grace":
                order.grace_s = float(value)
            case "--folder":
                order.folder = value
            case "--umask":
                order.umask = int(value)
            case "--limit":
                resource_name, _, limit = value.partition(":")
                order.limits.append((getattr(resource, f"RLIMIT_{resource_name}"), int(limit)))
            case _:
                raise ValueError(f"{argument!r} is no argument of the keeper")
    if not order.command or order.control < 0:
        raise ValueError("expected --control=FD and -- COMMAND")
    return order


class Keeper:
    """Owns the command's process and everything that descends from it."""

    def __init__(self, order: Order) -> None:
        self._order = order
        os.set_inheritable(order.control, False)
        self._control = socket.socket(fileno=order.control)
        self._wake, wake = os.pipe()
        for end in (self._wake, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, *ENDING):
            signal.signal(number, _noted)
        self._hears = True
        self._pid = 0
        self._status: int | None = None
        self._kill_at: float | None = None

    def run(self) -> int:
        """Start the command, watch it to its end, end what it left; return the keeper's exit code."""
        if IS_LINUX:
            # Descendants whose parent ends become children of the keeper, also after setsid. Elsewhere there is no
            # such thing: there only the process group is ended, and what has left it stays.
            prctl(PR_SET_CHILD_SUBREAPER, 1)
        failure = self._start()
        if failure:
            self._say(f"failed {failure}")
            return 1
        self._say(f"started {self._pid}")
        while not self._has_ended():
            self._listen(None if self._kill_at is None else max(0.0, self._kill_at - time.monotonic()))
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                self._signal(signal.SIGKILL)
                self._kill_at = time.monotonic() + SLOWEST_ROUND_S
        self._finish()
        return 0

    # -- the command ----------------------------------------------------------------------------

    def _start(self) -> str:
        """Fork and execute the command; return why that failed, or nothing."""
        told, tell = os.pipe()  # closed by a successful exec, so that its end means success
        keeper = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            become(self._order, keeper, tell)
        os.close(tell)
        with os.fdopen(told, "rb") as reader:
            failure = reader.read().decode(errors="replace")
        # The keeper's own copies would keep the pipes open after the command's end. Stderr stays, for the keeper's own.
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)
        return failure

    def _has_ended(self) -> bool:
        """Say whether the command ended, without reaping it: its group's number must not be given to others yet."""
        if not hasattr(os, "waitid"):  # macOS before Python 3.13: reaped at once, its group ended a moment later
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            self._status = status if pid else None
            return pid != 0
        while True:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return False
            if ended.si_pid == self._pid:
                return True
            os.waitpid(ended.si_pid, os.WNOHANG)

    def _finish(self) -> None:
        """Kill what the command left in its group, say how it ended, then kill every other descendant."""
        self._signal(signal.SIGKILL)
        if self._status is None:
            _, self._status = os.waitpid(self._pid, 0)
        code = os.waitstatus_to_exitcode(self._status)
        self._say(f"exited {code}" if code >= 0 else f"killed {-code}")
        pause = ROUND_S
        # A descendant's ancestors are all descendants, so as long as one lives the keeper has children.
        while _has_children():
            for pid in _children():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            self._listen(pause)
            pause = min(pause * 2, SLOWEST_ROUND_S)

    def _signal(self, number: int) -> None:
        """Signal the command's group and whatever was left to the keeper. Only processes nobody has reaped yet."""
        for pid in _children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, number)

    # -- portside -------------------------------------------------------------------------------

    def _say(self, line: str) -> None:
        with contextlib.suppress(OSError):  # portside is gone, which its end of the socket tells anyway
            self._control.sendall(line.encode() + b"\n")

    def _listen(self, timeout_s: float | None) -> None:
        """Wait for a child's end, a signal, an order, or the time."""
        sources: list[int | socket.socket] = [self._wake]
        if self._hears:
            sources.append(self._control)
        ready, _, _ = select.select(sources, [], [], timeout_s)
        if self._wake in ready:
            with contextlib.suppress(BlockingIOError):
                if any(number in ENDING for number in os.read(self._wake, 4096)):
                    self._end(self._order.grace_s)
        if self._control in ready:
            try:
                order = self._control.recv(64)
            except OSError:
                order = b""
            self._hears = order != b""
            self._end(0.0 if b"k" in order else self._order.grace_s)

    def _end(self, grace_s: float) -> None:
        kill_at = time.monotonic() + grace_s
        if self._kill_at is None:
            self._kill_at = kill_at
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)  # a stopped process would never see it
        self._kill_at = min(self._kill_at, kill_at)


def become(order: Order, keeper: int, tell: int) -> NoReturn:
    """Turn the forked process into the command; writes why that failed to `tell`."""
    doing = "start a session"
    try:
        os.setsid()
        if IS_LINUX:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != keeper:
                os._exit(1)  # the keeper was killed before the call above
        for kind, limit in order.limits:
            doing = f"set a limit of {limit}"
            resource.setrlimit(kind, (limit, limit))
        if order.umask >= 0:
            os.umask(order.umask)
        if order.folder:
            doing = f"enter the folder {order.folder!r}"
            os.chdir(order.folder)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            with contextlib.suppress(OSError):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        doing = f"execute {order.command[0]!r}"
        os.execvp(order.command[0], order.command)  # noqa: S606 (there is none on purpose)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        os.write(tell, f"cannot {doing}: {reason}".replace("\n", " ").encode(errors="replace"))
    finally:
        os._exit(127)


def prctl(option: int, value: int) -> None:
    """Set a property of this process (prctl(2)). Raises OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _has_children() -> bool:
    """Reap what has ended; say whether anything is left."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def _children() -> list[int]:
    """Return the keeper's children; those that ended and are not reaped included, so no number can be another's."""
    me = os.getpid()
    with contextlib.suppress(OSError):
        return [int(pid) for pid in _read(f"/proc/{me}/task/{me}/children").split()]
    found: list[int] = []
    with contextlib.suppress(OSError), os.scandir("/proc") as entries:
        for entry in entries:
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError, IndexError):
                # The name is in parentheses and may hold anything; the state and the parent follow the last one.
                if int(_read(f"/proc/{entry.name}/stat").rpartition(b")")[2].split()[1]) == me:
                    found.append(int(entry.name))
    return found


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        parts: list[bytes] = []
        while part := os.read(descriptor, 65536):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(descriptor)


def _noted(number: int, frame: FrameType | None) -> None:
    """Do nothing: that a signal came is read from the wake-up pipe."""


if __name__ == "__main__":
    sys.exit(Keeper(parse(sys.argv[1:])).run())
