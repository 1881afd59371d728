"""Addresses of an engine's own: a bridge and a pool that no other engine of this machine has."""

import fcntl
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ENGINES: Final = 16
"""Most engines that run on one machine at the same time."""


class NoAddresses(Exception):
    """As many engines as there are addresses for run already."""


@dataclass(frozen=True, slots=True)
class Network:
    """The part of 172.30.0.0/15 that belongs to engine `number`."""

    number: int

    @property
    def bridge(self) -> str:
        """The interface of containers that say no network."""
        return f"portside{self.number}"

    @property
    def address(self) -> str:
        """The bridge's address."""
        return f"172.30.{self.number}.1/24"

    @property
    def pool(self) -> str:
        """Where other networks take their addresses from: room for 16 of them."""
        return f"172.31.{16 * self.number}.0/20"


@contextmanager
def network() -> Generator[Network]:
    """Make a bridge for the block. Raises NoAddresses, subprocess.CalledProcessError."""
    with _reserved() as number:
        made = Network(number)
        remove(made.bridge)  # of an engine that could not
        subprocess.run(["ip", "link", "add", made.bridge, "type", "bridge"], check=True)
        try:
            subprocess.run(["ip", "address", "add", made.address, "dev", made.bridge], check=True)
            subprocess.run(["ip", "link", "set", made.bridge, "up"], check=True)
            yield made
        finally:
            remove(made.bridge)


def remove(interface: str) -> None:
    """Take an interface away where it is there."""
    if Path("/sys/class/net", interface).exists():
        subprocess.run(["ip", "link", "delete", interface], check=True)


@contextmanager
def _reserved() -> Generator[int]:
    """Hold the lowest number that nobody holds; the system lets go of it however this process ends."""
    for number in range(ENGINES):
        with Path(tempfile.gettempdir(), f"portside-engine-{number}.lock").open("w", encoding="utf-8") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield number
            return
    raise NoAddresses(f"{ENGINES} engines run on this machine; expected one less")
