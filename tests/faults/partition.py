"""Packets to chosen ports of the loopback dropped by the kernel, as a network does that is cut: silently, also SYNs.

The table is owned by the `nft` process that made it, so the kernel removes it with that process: at the end of the
block, and also where the test is killed, since `nft` reads commands from a pipe that ends with it.
"""

import os
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, Literal

import pytest

from tests.processes import ServerFailed
from tests.servers import require

Ways = Literal["both", "requests", "answers"]

_PATIENCE_S: Final = 5.0
_POLL_S: Final = 0.01


class Partition:
    """A cut that can be made and healed while its block lasts."""

    def __init__(self, nft: str, process: subprocess.Popen[str], table: str) -> None:
        self._nft = nft
        self._process = process
        self._table = table

    def cut(self, *ports: int, ways: Ways = "both") -> None:
        """Drop what goes to these ports, what comes from them, or both; on top of what is cut already.

        What was cut stays cut until `heal`; connections survive it as long as their ends are patient.
        """
        matches = {"both": ("dport", "sport"), "requests": ("dport",), "answers": ("sport",)}[ways]
        chosen = ", ".join(str(port) for port in ports)
        self._tell(*(f"add rule inet {self._table} cut iif lo tcp {match} {{ {chosen} }} drop" for match in matches))
        self._await(lambda listed: all(f"{match} " in listed for match in matches) and str(ports[0]) in listed)

    def heal(self) -> None:
        """Let everything pass again."""
        self._tell(f"flush chain inet {self._table} cut")
        self._await(lambda listed: " drop" not in listed)

    def prepare(self) -> None:
        """Make the table. Raises ServerFailed where the kernel refuses."""
        hook = "{ type filter hook input priority 0; policy accept; }"
        self._tell(f"add table inet {self._table} {{ flags owner; }}", f"add chain inet {self._table} cut {hook}")
        self._await(lambda listed: "chain cut" in listed)

    def _tell(self, *commands: str) -> None:
        if self._process.stdin is None:
            raise ServerFailed("nft has no standard input")
        self._process.stdin.write("".join(f"{command}\n" for command in commands))
        self._process.stdin.flush()

    def _await(self, is_so: Callable[[str], bool]) -> None:
        """Wait until the kernel lists what was told: `nft` says nothing when it is done."""
        deadline, listed = time.monotonic() + _PATIENCE_S, ""
        while time.monotonic() < deadline and self._process.poll() is None:
            listed = subprocess.run(
                [self._nft, "list", "table", "inet", self._table], capture_output=True, text=True, check=False
            ).stdout
            if is_so(listed):
                return
            time.sleep(_POLL_S)  # another process: there is nothing to wait on but its effect
        raise ServerFailed(f"nft did not do as told within {_PATIENCE_S:g} s; the table is:\n{listed}")


@contextmanager
def partition() -> Generator[Partition]:
    """Be able to cut ports of the loopback for the block; nothing is cut after it.

    Skips the calling test without root or nft, which CI turns into a failure, and where the kernel has no nftables.
    """
    nft = require("nft", "/usr/sbin")
    if os.geteuid() != 0:
        pytest.skip("cutting the network needs root")
    process = subprocess.Popen(
        [nft, "-i"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        made = Partition(str(nft), process, f"portside_tests_{process.pid}")
        made.prepare()
        yield made
    finally:
        process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
