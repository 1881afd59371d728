"""Redis as a real process that a test may kill, stop, empty and set back; alone, or under Sentinels."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.processes import ServerFailed, free_port
from tests.servers import require

PASSWORD: Final = "s3cret-of-the-tests"
_START_S: Final = 15.0
_STOP_S: Final = 10.0
_POLL_S: Final = 0.02


class Redis:
    """One `redis-server` with a password, on the same port all its lives; nothing outlives the block."""

    def __init__(
        self, folder: Path, settings: Mapping[str, str | int] | None = None, *, is_sentinel: bool = False
    ) -> None:
        self.port = free_port()
        self.folder = folder
        self._program = require("redis-server")
        self._cli = require("redis-cli")
        self._is_sentinel = is_sentinel
        self._settings: dict[str, str | int] = {"port": self.port, "bind": "127.0.0.1", "dir": str(folder)}
        if not is_sentinel:
            self._settings |= {"requirepass": PASSWORD, "masterauth": PASSWORD, "save": '""', "appendonly": "no"}
        self._settings |= settings or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its URL, password and all."""
        return self.url_by(self.port)

    def url_by(self, port: int) -> str:
        """Return its URL by another way, such as a fault proxy."""
        return f"redis://:{PASSWORD}@127.0.0.1:{port}/0"

    def start(self) -> None:
        """Start it and wait until it answers; it loads the dump that is there."""
        configuration = self.folder / "redis.conf"
        if not (self._is_sentinel and configuration.exists()):  # a Sentinel keeps what it knows in there
            lines = [f"{name} {value}" for name, value in self._settings.items()]
            configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")
        command: list[str | Path] = [self._program, configuration, *(["--sentinel"] if self._is_sentinel else [])]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._await("PING", "PONG")

    def ask(self, *words: str, timeout_s: float = 5) -> str:
        """Return what a command answers, as `redis-cli` prints it. Raises ServerFailed where it does not."""
        command = [str(self._cli), "-h", "127.0.0.1", "-p", str(self.port), "-e", *words]
        environment = {**os.environ, **({} if self._is_sentinel else {"REDISCLI_AUTH": PASSWORD})}
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            raise ServerFailed(f"Redis did not answer {words[0]} within {timeout_s:g} s") from None
        if done.returncode != 0:
            raise ServerFailed(f"Redis answered {words[0]} with: {done.stdout}{done.stderr}")
        return done.stdout.rstrip("\n")

    def pause(self) -> None:
        """Stop it where it stands: connections stay, answers do not come."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, as a crash would; without a dump its data is lost. May be called twice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_STOP_S)
            self._process = None

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()

    def empty(self) -> None:
        """Forget everything, as an operator's FLUSHALL would."""
        self.ask("FLUSHALL")

    def dump(self) -> bytes:
        """Return what it holds now, for `set_back`."""
        self.ask("SAVE")
        return (self.folder / "dump.rdb").read_bytes()

    def set_back(self, dump: bytes) -> None:
        """Kill it and start it from an older dump."""
        self.kill()
        (self.folder / "dump.rdb").write_bytes(dump)
        self.start()

    def drop_clients(self) -> None:
        """Close every connection but the one that says so, from the server's end."""
        self.ask("CLIENT", "KILL", "TYPE", "normal")

    def printed(self) -> str:
        """Return the end of its log."""
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    def _await(self, command: str, expected: str) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            with suppress(ServerFailed):
                if self.ask(command) == expected:
                    return
            time.sleep(_POLL_S)  # another process: there is nothing to wait on but its answer
        raise ServerFailed(f"Redis did not start:\n{self.printed()}")

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise ServerFailed("Redis does not run")
        self._process.send_signal(number)


@contextmanager
def redis(settings: Mapping[str, str | int] | None = None) -> Generator[Redis]:
    """Run a Redis for the block. Skips the calling test where it is not installed."""
    folder = Path(tempfile.mkdtemp(prefix="portside-redis-"))
    server: Redis | None = None
    try:
        server = Redis(folder, settings)
        server.start()
        yield server
    finally:
        if server is not None:
            server.kill()
        shutil.rmtree(folder)
