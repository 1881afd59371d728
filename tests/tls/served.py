"""`portside serve` with TLS as a child process, and single requests to it over TLS."""

import asyncio
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.hostile.attack import dialled
from tests.journeys.raw import Reply
from tests.processes import ROOT, ServerFailed, free_port
from tests.tls.certificates import Issued

TARGET: Final = "tests/journeys/targets/steady.py"
_START_S: Final = 20.0
_STOP_S: Final = 15.0
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Secured:
    """A server that speaks TLS on `port`."""

    port: int
    output: IO[bytes]

    async def ask(self, request: bytes, context: ssl.SSLContext) -> Reply:
        """Send one request on a connection of its own. Raises OSError or EOFError where the server will not have it."""
        async with dialled(self.port, context) as connection:
            return await connection.ask(request)

    def printed(self) -> str:
        """Return everything the server wrote, to both streams."""
        return os.pread(self.output.fileno(), os.fstat(self.output.fileno()).st_size, 0).decode(errors="replace")


def trusting(root: Issued, client: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """Return a client's context that trusts `root` and shows `client`, however weak that is."""
    context = ssl.create_default_context(cadata=root.certificate.public_bytes(Encoding.PEM).decode("ascii"))
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    if client is not None:
        context.load_cert_chain(*client)
    return context


def pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate as PEM."""
    return certificate.public_bytes(Encoding.PEM)


@contextmanager
def secured(
    chain: Path, key: Path, probe: ssl.SSLContext, settings: Mapping[str, str] | None = None
) -> Generator[Secured]:
    """Run the server for the block; it has answered `/ready` to `probe` when the block starts."""
    port = free_port()
    command = [sys.executable, "-m", "portside", "serve", TARGET, "--host", "127.0.0.1", "--port", str(port)]
    given = {"SSL_CERT_PATH": str(chain), "SSL_KEY_PATH": str(key), "RATE_LIMIT_MAX_REQUESTS": "0", **(settings or {})}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **given},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        server = Secured(port, output)
        try:
            _await_ready(process, server, probe)
            yield server
            process.send_signal(signal.SIGTERM)
            if process.wait(_STOP_S) != 0:
                raise ServerFailed(f"the server ended with code {process.returncode}:\n{server.printed()}")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await_ready(process: subprocess.Popen[bytes], server: Secured, probe: ssl.SSLContext) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError, EOFError):
            reply = asyncio.run(server.ask(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n", probe))
            if reply.status == 200:
                return
        time.sleep(_POLL_S)  # another process: there is nothing to wait on but its answer
    raise ServerFailed(f"the server did not get ready:\n{server.printed()[-4000:]}")
