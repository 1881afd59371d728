"""Servers as real child processes: started on a free port, awaited until ready, ended for certain."""

import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, TypeVar

ROOT: Final = Path(__file__).resolve().parents[1]
START_S: Final = 20.0
STOP_S: Final = 15.0
_POLL_S: Final = 0.02
_TRIES: Final = 3
_TAKEN: Final = "Address already in use"
_T = TypeVar("_T")
_LOCAL: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy must not see the loopback


class ServerFailed(Exception):
    """A server under test did not become ready or did not end; says what it printed."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A server under test that has answered `/ready`."""

    port: int
    process: subprocess.Popen[bytes]
    output: IO[bytes]

    @property
    def origin(self) -> str:
        """The server's address without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The MCP endpoint."""
        return f"{self.origin}/mcp"

    def printed(self) -> str:
        """Return the last 8,000 bytes of what the server wrote, to both streams."""
        size = os.fstat(self.output.fileno()).st_size
        return os.pread(self.output.fileno(), 8000, max(0, size - 8000)).decode(errors="replace")


@contextmanager
def portside(
    target: str, *arguments: str, environment: Mapping[str, str] | None = None, stop: bool = True
) -> Generator[Serving]:
    """Run `portside serve TARGET` for the block, from the repository's root; see `serving`.

    Without a limit on requests unless the test sets one: most send more in a minute than one caller may.
    """
    environment = {"RATE_LIMIT_MAX_REQUESTS": "0", **(environment or {})}
    command = [sys.executable, "-m", "portside", "serve", target, "--host", "127.0.0.1"]

    def started(port: int) -> AbstractContextManager[Serving]:
        return serving([*command, "--port", str(port), *arguments], port, environment=environment, stop=stop)

    with ExitStack() as stack:
        yield on_free_port(lambda port: stack.enter_context(started(port)))


@contextmanager
def serving(
    command: Sequence[str],
    port: int,
    *,
    environment: Mapping[str, str] | None = None,
    stop: bool = True,
    codes: Collection[int] = (0,),
) -> Generator[Serving]:
    """Run `command`, which listens on `port`, for the block; it has answered `/ready` when the block starts.

    `environment` is added to the caller's. The command leads its own process group, of which nothing is left after
    the block. Raises ServerFailed where it does not become ready in 20 s, or, unless `stop` is False (for tests that
    end it themselves), where it does not end with one of `codes` within 15 s of SIGTERM.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            list(command),
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        server = Serving(port, process, output)
        try:
            _await_ready(server)
            yield server
            if stop:
                _end(server, codes)
        finally:
            _kill(process)


def free_port() -> int:
    """Return a port of the loopback that was free a moment ago, below those the kernel gives to clients' ends."""
    for _ in range(100):
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise ServerFailed("no port from 20000 to 31999 is free")


def on_free_port(start: Callable[[int], _T]) -> _T:
    """Return what `start` makes of a free port, or of another one where somebody took that before it listened.

    Any process may: a port is only asked for when a server has been loading for a second. Raises ServerFailed.
    """
    for _ in range(_TRIES - 1):
        try:
            return start(free_port())
        except ServerFailed as failed:
            if _TAKEN not in str(failed):
                raise
    return start(free_port())


def _await_ready(server: Serving) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise ServerFailed(f"the server ended with code {server.process.returncode}:\n{server.printed()}")
        if _is_ready(server):
            return
        time.sleep(_POLL_S)  # another process: there is nothing to wait on but its answer
    raise ServerFailed(f"the server was not ready within {START_S:.0f} s:\n{server.printed()}")


def _is_ready(server: Serving) -> bool:
    try:
        with _LOCAL.open(f"{server.origin}/ready", timeout=2) as answer:
            return answer.status == 200
    except (OSError, http.client.HTTPException):  # not listening yet, or 503 while it starts
        return False


def _end(server: Serving, codes: Collection[int]) -> None:
    server.process.send_signal(signal.SIGTERM)
    try:
        code = server.process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        raise ServerFailed(f"the server ignored SIGTERM for {STOP_S:.0f} s:\n{server.printed()}") from None
    if code not in codes:
        raise ServerFailed(f"the server ended with code {code} on SIGTERM:\n{server.printed()}")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End whatever is left of the process group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
