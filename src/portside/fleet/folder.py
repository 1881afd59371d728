"""The folder of a fleet: where everything is, made for its owner alone, and the lock that one supervisor holds."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from portside.errors import PortsideError

LOG_BYTES: Final = 10 * 1024 * 1024
_SOCKET_PATH: Final = 90  # sun_path has 108, and HAProxy binds its socket under a longer name first


class FleetFailed(PortsideError):
    """The fleet could not be brought to what was asked (exit code 1)."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The paths of a fleet below `root`."""

    root: Path

    @property
    def state(self) -> Path:
        """What runs."""
        return self.root / "fleet.json"

    @property
    def control(self) -> Path:
        """The socket the supervisor listens on."""
        return self.root / "control.sock"

    @property
    def lock(self) -> Path:
        """Locked by the supervisor as long as it lives."""
        return self.root / "fleet.lock"

    @property
    def key(self) -> Path:
        """ENCRYPTION_KEY of all replicas, where the environment gives none."""
        return self.root / "encryption.key"

    @property
    def redis_password(self) -> Path:
        """The password of the local Redis."""
        return self.root / "redis.password"

    @property
    def redis_conf(self) -> Path:
        """The local Redis's settings, password and all."""
        return self.root / "redis.conf"

    @property
    def bundle(self) -> Path:
        """Certificate chain and key, as HAProxy wants them."""
        return self.root / "bundle.pem"

    def log(self, name: str) -> Path:
        """Return where the output of `name` goes."""
        return self.root / "logs" / f"{name}.log"

    def create(self) -> None:
        """Make the folder, for its owner alone. Raises PortsideError where it cannot be, or is somebody else's."""
        if len(str(self.control)) > _SOCKET_PATH:
            raise PortsideError(
                f"--dir {self.root}: too long for a socket in it, expected at most {_SOCKET_PATH - 13} characters"
            )
        try:
            (self.root / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
            self.root.chmod(0o700)
        except OSError as error:
            raise PortsideError(f"--dir {self.root}: cannot be made: {error.strerror}") from error

    def secret(self, file: Path) -> str:
        """Return the secret in a file of the folder, made of 32 random bytes (hex) where there is none yet."""
        if not file.exists():
            write(file, secrets.token_hex(32) + "\n")
        return file.read_text(encoding="ascii").strip()

    def rotate(self, name: str) -> None:
        """Keep a log below 10 MiB, with one former one beside it.

        Who writes it appends, so it is copied and emptied; what is written between the two is lost.
        """
        log = self.log(name)
        if log.exists() and log.stat().st_size > LOG_BYTES:
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)

    def tail(self, name: str, lines: int) -> list[str]:
        """Return the last lines of a log."""
        log = self.log(name)
        if not log.exists():
            return []
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - 16_384))
            return [line for line in stream.read().decode(errors="replace").splitlines() if line.strip()][-lines:]


def write(file: Path, text: str) -> None:
    """Replace a file's content at once and for good, readable by its owner alone."""
    aside = file.with_name(f".{file.name}.new")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(file)


@contextmanager
def locked(folder: Folder) -> Generator[bool]:
    """Hold the folder's lock for the block, where nobody else does; says whether that is so. Children never hold it."""
    descriptor = os.open(folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
