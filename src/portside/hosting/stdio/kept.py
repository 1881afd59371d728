"""The keeper of one child, seen from here: started, heard, told to end."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

from portside.errors import StartFailed
from portside.hosting.stdio.spec import ChildSpec

KEEPER: Final = Path(__file__).with_name("keeper.py")
REAP_S: Final = 0.005


class Kept:
    """A keeper process and the command it keeps. `stdin`, `stdout` and `stderr` are our ends of the command's pipes.

    `started` becomes the reason why the command cannot be started, or ""; `status` how the command ended, in words;
    `ended` is set when the keeper has ended, and with it every descendant of the command.
    """

    def __init__(self, spec: ChildSpec) -> None:
        loop = asyncio.get_running_loop()
        self.pid = 0
        self.started: asyncio.Future[str] = loop.create_future()
        self.status: asyncio.Future[str] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._told = b""
        self._control, theirs = socket.socketpair()
        ends: list[int] = []
        try:
            for _ in range(3):
                ends += os.pipe()
            self._process = _spawn(spec, theirs, stdin=ends[0], stdout=ends[3], stderr=ends[5])
        except (OSError, ValueError) as error:
            self._control.close()
            for end in ends:
                os.close(end)
            raise StartFailed(f"cannot start a process for {spec.command[0]!r}: {error}") from error
        finally:
            theirs.close()
        for end in (ends[0], ends[3], ends[5]):
            os.close(end)
        self.stdin, self.stdout, self.stderr = ends[1], ends[2], ends[4]
        self._control.setblocking(False)
        loop.add_reader(self._control, self._hear)

    def end(self) -> None:
        """Order the end: SIGTERM, the grace, SIGKILL, for the command and everything it started."""
        # No more orders is the order: so it also comes where this process was killed.
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)

    def kill(self) -> None:
        """Order SIGKILL for the command and everything it started."""
        with contextlib.suppress(OSError):
            self._control.send(b"k")
        self.end()

    def force(self) -> None:
        """Kill the keeper, which takes the command along, and the command's group; what has left that may stay."""
        self._process.kill()
        if self.pid and not self.status.done():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    async def release(self) -> None:
        """Leave no zombie and no open socket of a keeper that has ended."""
        self._control.close()
        # Its end of the socket closes while it exits; for what is left of that there is nothing to wait on everywhere.
        while self._process.poll() is None:  # noqa: ASYNC110
            await asyncio.sleep(REAP_S)

    def _hear(self) -> None:
        try:
            told = self._control.recv(4096)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            told = b""
        if not told:
            self._loop.remove_reader(self._control)
            self.ended.set_result(None)
            if not self.started.done():
                self.started.set_result("its keeper ended before the command was started")
            return
        *lines, self._told = (self._told + told).split(b"\n")
        for line in lines:
            word, _, rest = line.decode(errors="replace").partition(" ")
            self._take(word, rest)

    def _take(self, word: str, rest: str) -> None:
        if word == "started":
            self.pid = int(rest)
        if word in ("started", "failed") and not self.started.done():
            self.started.set_result(rest if word == "failed" else "")
        if word == "exited":
            self.status.set_result(f"ended with exit code {rest}")
        elif word == "killed":
            self.status.set_result(f"was ended by {_signal(int(rest))}")


def _spawn(spec: ChildSpec, control: socket.socket, *, stdin: int, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
    order = [f"--control={control.fileno()}", f"--grace={spec.term_grace_s}"]
    if spec.folder is not None:
        order.append(f"--folder={spec.folder}")
    if spec.umask is not None:
        order.append(f"--umask={spec.umask}")
    limits = spec.limits
    named = {"AS": limits.address_space_bytes, "NOFILE": limits.open_files}
    named |= {"CPU": limits.cpu_s, "NPROC": limits.processes}
    order += [f"--limit={name}:{value}" for name, value in named.items() if value is not None]
    # What runs is the user's own command, which is what this program is for.
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-S", str(KEEPER), *order, "--", *spec.command],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=dict(spec.environment),
        pass_fds=[control.fileno()],
        start_new_session=True,
    )


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
