"""A server process under test: started on its own core, read through /proc, stopped for certain."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from failure import BenchFailure

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
STOP_S = 4.0
KERNEL_THREAD = 0x00200000
"""The flag of a thread of the kernel's own (PF_KTHREAD)."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a process and its children, in KiB.

    rss counts pages shared with other processes in full, pss shares them out over their users, uss leaves
    them out. anonymous leaves out every page of a file: only it is unmoved by what else the machine runs,
    and so it alone is fit for differences.
    """

    rss_kib: int
    pss_kib: int
    uss_kib: int
    anonymous_kib: int


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core the server has and which the client; None where there are not two to give."""

    server: int | None
    client: int | None


def choose_cores() -> Cores:
    """Return two of the cores this process may use."""
    if not hasattr(os, "sched_getaffinity"):
        return Cores(None, None)
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(allowed[0], allowed[1]) if len(allowed) > 1 else Cores(None, None)


@contextmanager
def pinned_to(core: int | None) -> Generator[None]:
    """Run on `core` inside the block; a child born there inherits it with all its threads."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    """Return a port of the loopback that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class ServerProcess:
    """One server under test; a context manager that starts it and leaves nothing of it behind."""

    def __init__(self, name: str, command: Sequence[str], port: int, env: Mapping[str, str], core: int | None) -> None:
        """Remember how to start `command`, which listens on `port`; `core` None leaves it unpinned."""
        self.name = name
        self.port = port
        self.core = core
        self.host = f"127.0.0.1:{port}"
        self._command = list(command)
        self._env = dict(env)
        self._output: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"ServerProcess({self.name!r}, port={self.port}, pid={self._process.pid if self._process else None})"

    def __enter__(self) -> Self:
        self._output = tempfile.TemporaryFile()
        with pinned_to(self.core):
            self._process = subprocess.Popen(
                self._command,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                start_new_session=True,  # Ctrl+C reaches the bench alone, which then stops its servers
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process, by SIGTERM and after four seconds by SIGKILL; may be called twice."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                kill(process)
            except BaseException:  # a second Ctrl+C: leave, but not without the server
                kill(process)
                raise
        if self._output is not None:
            self._output.close()
            self._output = None

    @property
    def pid(self) -> int:
        """The process's id. Raises BenchFailure before it has started."""
        return self._pids()[0]

    def check_alive(self) -> None:
        """Raise BenchFailure with what the server printed if it has ended."""
        if self._process is None or self._process.poll() is not None:
            code = None if self._process is None else self._process.returncode
            raise BenchFailure(f"{self.name} ended with code {code}:\n{self.printed()}")

    def printed(self) -> str:
        """Return the last 4,000 bytes of the server's output."""
        if self._output is None:
            return ""
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), 4000, max(0, size - 4000)).decode(errors="replace")

    def cpu_s(self) -> float:
        """Return the CPU seconds used so far, user and system, by the server and its children.

        Source: proc(5), /proc/PID/stat fields 14-17; the resolution is one clock tick (10 ms).
        """
        return sum(ticks_of(pid) for pid in self._pids()) * TICK_S

    def memory(self) -> Memory:
        """Return the memory of the server and its children now."""
        sums = {"Rss": 0, "Pss": 0, "Private_Clean": 0, "Private_Dirty": 0, "Anonymous": 0}
        for pid in self._pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in sums:
                    sums[name] += int(value.split()[0])
        unshared = sums["Private_Clean"] + sums["Private_Dirty"]
        return Memory(sums["Rss"], sums["Pss"], unshared, sums["Anonymous"])

    def settled_memory(self) -> Memory:
        """Collect the server's garbage, wait until it is quiet, and return its memory.

        The server must have been started with the folder `settle` on its PYTHONPATH.
        """
        self.check_alive()
        os.kill(self._pids()[0], signal.SIGUSR2)
        before = -1.0
        deadline = time.monotonic() + 10
        while (now := self.cpu_s()) != before and time.monotonic() < deadline:
            before = now
            time.sleep(0.4)
        self.check_alive()
        return self.memory()

    def _pids(self) -> list[int]:
        if self._process is None:
            raise BenchFailure(f"{self.name} is not running")
        try:
            return tree(self._process.pid)
        except OSError:
            self.check_alive()
            raise


def kill(process: subprocess.Popen[bytes]) -> None:
    """End the process group at once, if it has not ended by itself."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def tree(pid: int) -> list[int]:
    """Return `pid` and all its living descendants."""
    found = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            found += tree(int(child))
    return found


def ticks_of(pid: int) -> int:
    """Return the CPU ticks of `pid`, its threads and the children it has waited for."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in after_name[11:15])


def ticks_of_itself(pid: int) -> int:
    """Return the CPU ticks of `pid` and its threads alone."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(after_name[11]) + int(after_name[12])


def core_ticks(core: int | None) -> int:
    """Return the ticks `core` was busy or stolen since the machine started; 0 when unpinned (proc(5), /proc/stat)."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _waiting, irq, soft_irq, steal = (int(field) for field in fields[:8])
            return user + nice + system + irq + soft_irq + steal
    return 0


def kernel_ticks() -> int:
    """Return the CPU ticks that the kernel's own threads have used (proc(5), /proc/PID/stat, flags and times)."""
    found = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            after_name = stat.read_text().rpartition(")")[2].split()
            if int(after_name[6]) & KERNEL_THREAD:
                found += int(after_name[11]) + int(after_name[12])
    return found
