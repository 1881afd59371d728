"""One apply at a time: a lock on a file that says who holds it, gone with whoever held it."""

import fcntl
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from portside.errors import PortsideError


class Holder(msgspec.Struct, frozen=True):
    """Who holds a lock. `since` is a moment (ISO 8601, UTC)."""

    pid: int
    host: str
    since: str
    what: str

    def __str__(self) -> str:
        return f"{self.what} by process {self.pid} on {self.host}, since {self.since}"


@contextmanager
def locked(file: Path, *, since: str, what: str) -> Generator[None]:
    """Hold the lock for the block. Raises PortsideError where somebody else does, saying who, or where it cannot be.

    The system takes it from a process that dies, so one is never left behind. Children do not inherit it.
    """
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise PortsideError(f"{file} cannot be opened: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PortsideError(f"locked: {_holder(descriptor)}", hint="wait for its end, then try again") from error
        _write(descriptor, file, msgspec.json.encode(Holder(os.getpid(), socket.gethostname(), since, what)))
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _write(descriptor: int, file: Path, content: bytes) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, content, 0)
    except OSError as error:
        raise PortsideError(f"{file} cannot be written: {error.strerror}") from error


def _holder(descriptor: int) -> str:
    """Return who holds the lock; whoever has only just taken it may not have written it down yet."""
    try:
        return str(msgspec.json.decode(os.pread(descriptor, 4096, 0), type=Holder))
    except msgspec.DecodeError:
        return "another apply has just begun"
