"""Redis as real processes, from `tests/install-servers`: on free ports, with a password, ended for certain."""

import asyncio
import signal
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, cast

from portside.secret import Secret
from tests.processes import ServerFailed, free_port
from tests.resp import Reply, Words, ask
from tests.servers import require, scratch

PASSWORD: Final = "s3cret-of-the-tests"
_START_S: Final = 20.0
_STOP_S: Final = 10.0
_POLL_S: Final = 0.01

Settings = Mapping[str, str | int]

# What a limit has counted, made older: this is how a suite turns the clock of a server that has its own.
_AGE: Final = """
for _, key in ipairs(redis.call('KEYS', '*:count:*')) do
    local times = redis.call('LRANGE', key, 0, -1)
    local left = redis.call('PTTL', key) - ARGV[1]
    redis.call('DEL', key)
    for _, at in ipairs(times) do
        redis.call('RPUSH', key, string.format('%.0f', at - ARGV[1] * 1000))
    end
    if left > 0 then redis.call('PEXPIRE', key, left) else redis.call('DEL', key) end
end
"""


class RedisServer:
    """A Redis server on the same port all its lives, or a Sentinel: `settings` are those of its configuration.

    It keeps nothing on disk but what `dump` is asked for.
    """

    def __init__(self, folder: Path, program: Path, settings: Settings, *, is_sentinel: bool = False) -> None:
        self.port = free_port()
        self.password = Secret(PASSWORD.encode())
        self._folder = folder
        self._program = program
        self._is_sentinel = is_sentinel
        own: Settings = {"port": self.port, "bind": "127.0.0.1", "dir": str(folder)}
        if not is_sentinel:
            own = {**own, "requirepass": PASSWORD, "masterauth": PASSWORD, "save": '""', "appendonly": "no"}
        self._settings: Settings = {**own, **settings}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The server's address, without its password."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start the server and wait until it answers; it loads the dump that is there."""
        configuration = self._folder / "redis.conf"
        if not (self._is_sentinel and configuration.exists()):  # a Sentinel keeps what it knows in there
            lines = [f"{name} {value}" for name, value in self._settings.items()]
            configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")
        command: list[str | Path] = [self._program, configuration, *(["--sentinel"] if self._is_sentinel else [])]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(ServerFailed):
                self.ask("PING")
                return
            time.sleep(_POLL_S)  # another process: there is nothing to wait on but its answer
        raise ServerFailed(f"Redis did not start:\n{self.printed()}")

    def kill(self) -> None:
        """End the server at once, as a crash would; without a dump its data is lost. May be called twice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_STOP_S)
            self._process = None

    def pause(self) -> None:
        """Stop the server where it stands: connections stay, answers do not come."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._signal(signal.SIGCONT)

    def empty(self) -> None:
        """Forget everything, as an operator's FLUSHALL would."""
        self.ask("FLUSHALL")

    def dump(self) -> bytes:
        """Return what the server holds now, for `set_back`."""
        self.ask("SAVE")
        return (self._folder / "dump.rdb").read_bytes()

    def set_back(self, dump: bytes) -> None:
        """Kill the server and start it from an older dump."""
        self.kill()
        (self._folder / "dump.rdb").write_bytes(dump)
        self.start()

    def printed(self) -> str:
        """Return the end of the server's log."""
        return (self._folder / "log").read_text(errors="replace")[-4000:]

    def ask(self, *words: str | bytes | int, timeout_s: float = 5) -> Reply:
        """Return what one command answers, waiting for it. Raises ServerFailed for an error, or no answer."""
        (reply,) = self._ask([words], timeout_s)
        return reply

    async def command(self, *words: str | bytes | int) -> Reply:
        """Do as `ask` does, while the loop goes on."""
        (reply,) = await self.commands([words])
        return reply

    async def commands(self, lines: Sequence[Words]) -> list[Reply]:
        """Send commands together on one connection and return their replies. Raises ServerFailed."""
        return await asyncio.to_thread(self._ask, lines, 10)

    async def now_us(self) -> int:
        """Return the server's time in microseconds."""
        seconds, rest = cast("list[bytes]", await self.command("TIME"))
        return int(seconds) * 1_000_000 + int(rest)

    async def elapse(self, ms: float) -> None:
        """Return once the server's clock has moved on by so much; there is nothing to wait on but its answer."""
        until = await self.now_us() + ms * 1000
        while (now := await self.now_us()) <= until:
            await asyncio.sleep(min(0.01, (until - now) / 1_000_000))

    async def age(self, ms: float) -> None:
        """Make every use that a limit has counted so much older."""
        await self.command("EVAL", _AGE, 0, str(ms))

    def _ask(self, lines: Sequence[Words], timeout_s: float) -> list[Reply]:
        return ask(self.port, lines, password=None if self._is_sentinel else PASSWORD, timeout_s=timeout_s)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise ServerFailed("Redis does not run")
        self._process.send_signal(number)


@contextmanager
def redis_server(settings: Settings | None = None, *, program: str = "redis-server") -> Generator[RedisServer]:
    """Run a Redis server for the block. Skips the calling test where it is not installed."""
    found = require(program)
    with scratch("portside-redis-") as place:
        server = RedisServer(place, found, settings or {})
        try:
            server.start()
            yield server
        finally:
            server.kill()
