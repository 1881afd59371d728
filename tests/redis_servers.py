"""Redis as real processes, from `tests/install-servers`: on free ports, with a password, ended for certain."""

import asyncio
import signal
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, cast

from portside.secret import Secret
from tests.processes import ServerFailed, free_port
from tests.servers import require, scratch

PASSWORD: Final = "s3cret-of-the-tests"
_START_S: Final = 20.0
_STOP_S: Final = 10.0
_POLL_S: Final = 0.01

Reply = bytes | int | list["Reply"] | None

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
    """A Redis server of its own: it keeps nothing on disk, and nothing outlives the block."""

    def __init__(self, folder: Path, program: Path, arguments: Sequence[str] = (), *, is_tls: bool = False) -> None:
        self.port = free_port()
        self.tls_port = free_port() if is_tls else 0
        self.password = Secret(PASSWORD.encode())
        self._folder = folder
        self._program = program
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The server's address, without its password."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start the server, on the same port each time, and wait until it answers."""
        command: list[str | Path] = [self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--requirepass", PASSWORD, "--masterauth", PASSWORD, "--dir", self._folder]
        command += ["--tls-port", str(self.tls_port)] if self.tls_port else []
        command += self._arguments
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError, ServerFailed):
                asyncio.run(self.command("PING"))
                return
            time.sleep(_POLL_S)  # another process: there is nothing to wait on but its answer
        raise ServerFailed(f"Redis did not start:\n{(self._folder / 'log').read_text(errors='replace')[-4000:]}")

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_STOP_S)
            self._process = None

    def pause(self) -> None:
        """Stop the server where it stands: connections stay, answers do not come."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    async def command(self, *words: str | bytes | int) -> Reply:
        """Send one command on a connection of its own and return the reply. Raises ServerFailed for an error."""
        (reply,) = await self.commands([words])
        return reply

    async def commands(self, lines: Sequence[Sequence[str | bytes | int]]) -> list[Reply]:
        """Send commands together on one connection and return their replies."""
        return await ask(self.port, lines, password=PASSWORD)

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


async def ask(port: int, lines: Sequence[Sequence[str | bytes | int]], *, password: str | None) -> list[Reply]:
    """Send commands on a connection of their own and return the replies. Raises ServerFailed for an error."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        greeting = [("AUTH", password)] if password is not None else []
        writer.write(b"".join(map(_encoded, [*greeting, *lines])))
        replies = [await _reply(reader) for _ in [*greeting, *lines]]
        return replies[len(greeting) :]
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _encoded(words: Sequence[str | bytes | int]) -> bytes:
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


async def _reply(reader: asyncio.StreamReader) -> Reply:
    line = (await reader.readuntil(b"\r\n"))[:-2]
    kind, rest = line[:1], line[1:]
    if kind == b"-":
        raise ServerFailed(rest.decode())
    if kind == b":":
        return int(rest)
    if kind == b"+":
        return rest
    size = int(rest)
    if size < 0:
        return None
    if kind == b"$":
        return (await reader.readexactly(size + 2))[:-2]
    return [await _reply(reader) for _ in range(size)]


class Sentinels:
    """A master, a replica of it, and three sentinels that make the one the other's successor."""

    NAME: Final = "main"

    def __init__(self, place: Path, program: Path) -> None:
        self._place = place
        self._program = program
        self._sentinels: dict[int, subprocess.Popen[bytes]] = {}
        self.master = RedisServer(place, program)
        self.replica = RedisServer(place, program, ("--replicaof", f"127.0.0.1 {self.master.port}"))

    @property
    def url(self) -> str:
        """Where the sentinels are, and what they know the master by."""
        return "redis+sentinel://" + ",".join(f"127.0.0.1:{port}" for port in self._sentinels) + f"/{self.NAME}?db=0"

    def start(self) -> None:
        """Start everything and wait until the sentinels know of each other and of the replica."""
        self.master.start()
        self.replica.start()
        for _ in range(3):
            self._start_sentinel()
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if all(asyncio.run(self._is_settled(port)) for port in self._sentinels):
                return
            time.sleep(_POLL_S)  # other processes: there is nothing to wait on but their answers
        raise ServerFailed(
            f"the sentinels did not settle:\n{(self._place / 'log').read_text(errors='replace')[-4000:]}"
        )

    def kill(self) -> None:
        """End every process at once."""
        for process in self._sentinels.values():
            process.kill()
            process.wait(_STOP_S)
        self._sentinels.clear()
        self.replica.kill()
        self.master.kill()

    def pause_one(self) -> None:
        """Stop a sentinel where it stands; only its end wakes it."""
        next(iter(self._sentinels.values())).send_signal(signal.SIGSTOP)

    def _start_sentinel(self) -> None:
        port = free_port()
        settings = self._place / f"sentinel-{port}"
        settings.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {self._place}\n"
            f"sentinel monitor {self.NAME} 127.0.0.1 {self.master.port} 2\n"
            f"sentinel auth-pass {self.NAME} {PASSWORD}\n"
            f"sentinel down-after-milliseconds {self.NAME} 500\n"
            f"sentinel failover-timeout {self.NAME} 3000\n",
            encoding="ascii",
        )
        with (self._place / "log").open("ab") as log:
            command = [self._program, settings, "--sentinel"]
            self._sentinels[port] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    async def _is_settled(self, port: int) -> bool:
        """Say whether a sentinel knows two others and one replica."""
        try:
            reply = await ask(port, [("SENTINEL", "MASTER", self.NAME)], password=None)
        except (OSError, ServerFailed, asyncio.IncompleteReadError):
            return False
        (told,) = cast("list[list[bytes]]", reply)
        known = dict(zip(told[::2], told[1::2], strict=True))
        return (known[b"num-other-sentinels"], known[b"num-slaves"]) == (b"2", b"1")


@contextmanager
def sentinels(program: str = "redis-server") -> Generator[Sentinels]:
    """Run a master, a replica and three sentinels for the block. Skips where Redis is not installed."""
    found = require(program)
    with scratch("portside-sentinels-") as place:
        servers = Sentinels(place, found)
        try:
            servers.start()
            yield servers
        finally:
            servers.kill()


@contextmanager
def redis_server(*arguments: str, program: str = "redis-server", is_tls: bool = False) -> Generator[RedisServer]:
    """Run a Redis server for the block, with TLS on a second port if asked. Skips the calling test without Redis."""
    found = require(program)
    with scratch("portside-redis-") as place:
        server = RedisServer(place, found, arguments, is_tls=is_tls)
        try:
            server.start()
            yield server
        finally:
            server.kill()
