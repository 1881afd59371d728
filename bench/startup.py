"""How long portside takes to print its help, and to answer `/health` while the user's module still loads."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass

from failure import BenchFailure
from load import wait_for_health
from process import Cores, pinned_to
from sides import Side, server


@dataclass(frozen=True, slots=True)
class Start:
    """CPU and wall seconds of one start."""

    cpu_s: float
    wall_s: float


async def measure_health(cores: Cores) -> Start:
    """Start portside on a module that sleeps for 3 s and return what it took until `/health` answered."""
    with server(Side.PORTSIDE, cores.server, target="slow_server.py") as process:
        wall_s = await wait_for_health(process)
        return Start(process.cpu_s(), wall_s)


def measure_help(cores: Cores) -> Start:
    """Run `portside --help` and return what it took."""
    started = time.perf_counter()
    with pinned_to(cores.server):
        process = subprocess.Popen([sys.executable, "-m", "portside", "--help"], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise BenchFailure(f"portside --help ended with code {process.returncode}")
    return Start(usage.ru_utime + usage.ru_stime, time.perf_counter() - started)
