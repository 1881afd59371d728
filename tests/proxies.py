"""nginx and HAProxy as real processes, told what `portside.targets` renders: on free ports, ended for certain."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final, Literal

import pytest
import trustme

from portside.targets import haproxy, nginx
from portside.targets.front import Backend, Front
from tests.processes import ServerFailed, free_port

Kind = Literal["nginx", "haproxy"]

KINDS: Final[Sequence[Kind]] = ("nginx", "haproxy")
NAME: Final = "localhost"
_START_S: Final = 10.0
_STOP_S: Final = 10.0
_POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that takes connections: HTTPS on `port`, HTTP on `plain_port`; `trusting` trusts its certificate."""

    kind: Kind
    port: int
    plain_port: int
    trusting: ssl.SSLContext
    output: IO[bytes]

    def printed(self) -> str:
        """Return everything the proxy wrote, to both streams."""
        return os.pread(self.output.fileno(), os.fstat(self.output.fileno()).st_size, 0).decode(errors="replace")


@contextmanager
def proxy(kind: Kind, front: Front) -> Generator[Proxy]:
    """Run a proxy for the block, with what `front` says but for ports, certificates and folders.

    Skips the calling test where it is not installed, which CI turns into a failure.
    """
    program = require(kind)
    # Not pytest's own folder: workers of a proxy that was started as root cannot reach that one.
    folder = Path(tempfile.mkdtemp(prefix=f"portside-{kind}-"))
    folder.chmod(0o755)
    try:
        authority = trustme.CA()
        here = _here(authority, folder, front)
        command = _command(kind, program, folder, here)
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)  # pyright: ignore[reportUnknownMemberType]  # pyOpenSSL is not installed
        with tempfile.TemporaryFile() as output:
            started = Proxy(kind, here.https_port, here.http_port, trusting, output)
            with _running(command, started):
                yield started
    finally:
        shutil.rmtree(folder)


def require(kind: Kind) -> str:
    """Return the proxy's program; skip the calling test where it is not installed."""
    found = shutil.which(kind, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"{kind} is missing: run tests/install-servers")
    return found


def before(*ports: int) -> Front:
    """Return a front for replicas of this machine."""
    return Front(tuple(Backend(f"replica-{port}", "127.0.0.1", port) for port in ports), names=(NAME,))


def _here(authority: trustme.CA, folder: Path, front: Front) -> Front:
    issued = authority.issue_cert(NAME)
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "bundle.pem"))
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    (folder / "chain.pem").write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    return replace(
        front,
        address="127.0.0.1",
        http_port=free_port(),
        https_port=free_port(),
        stats_port=free_port(),
        certificate=str(folder / "chain.pem"),
        key=str(folder / "key.pem"),
        bundle=str(folder / "bundle.pem"),
        runtime_folder=str(folder),
    )


def _command(kind: Kind, program: str, folder: Path, front: Front) -> list[str]:
    file = folder / "configuration"
    file.write_text((nginx if kind == "nginx" else haproxy).render(front), encoding="utf-8")
    if kind == "nginx":
        return [program, "-c", str(file), "-e", "/dev/stderr", "-g", "daemon off;"]
    return [program, "-db", "-f", str(file)]


@contextmanager
def _running(command: list[str], started: Proxy) -> Generator[None]:
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=started.output, stderr=started.output, start_new_session=True
    )
    try:
        _await_port(process, started)
        yield
        process.send_signal(signal.SIGTERM)  # both: at once, without waiting for clients
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await_port(process: subprocess.Popen[bytes], started: Proxy) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", started.port), timeout=1):
            return
        time.sleep(_POLL_S)  # another process: there is nothing to wait on but its answer
    raise ServerFailed(f"{started.kind} did not start:\n{started.printed()[-4000:]}")
