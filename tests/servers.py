"""Database servers as real processes, from `tests/install-servers`: on free ports, ended for certain."""

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
import pytest

from tests.processes import ServerFailed, free_port

_START_S: Final = 30.0
_STOP_S: Final = 10.0
_POLL_S: Final = 0.02
_PASSWORD: Final = "s3cret-of-the-tests"


def require(name: str, *folders: str) -> Path:
    """Return a server's program; skip the calling test where it is not installed, which CI turns into a failure."""
    found = shutil.which(name, path=os.pathsep.join((*folders, os.environ.get("PATH", os.defpath), "/usr/sbin")))
    if found is None:
        pytest.skip(f"{name} is missing: run tests/install-servers")
    return Path(found)


def _postgres_folder() -> str:
    """Return the folder of the newest PostgreSQL; Debian keeps them off the path."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return str(folders[-1]) if folders else ""


class Postgres:
    """A PostgreSQL server of its own: its data outlives `kill` and `start`, nothing outlives the block."""

    def __init__(self, folder: Path, *, max_connections: int) -> None:
        self.port = free_port()
        self._folder = folder
        self._bin = require("postgres", _postgres_folder()).resolve().parent
        self._user = _unprivileged()
        self._max_connections = max_connections
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self._prepared = ""

    def url(self, database: str = "postgres", *, port: int | None = None) -> str:
        """Return the URL of a database, password and all."""
        return f"postgresql://portside:{_PASSWORD}@127.0.0.1:{port or self.port}/{database}"

    def create(self) -> None:
        """Make the cluster."""
        secret = self._folder / "password"
        secret.write_text(_PASSWORD, encoding="ascii")
        _give(self._user, self._folder, secret)
        command: list[str | Path] = [self._bin / "initdb", "-D", self._folder / "data", "-U", "portside"]
        command += ["-A", "scram-sha-256", "--pwfile", secret, "-E", "UTF8", "--locale=C", "--no-sync"]
        done = subprocess.run(command, user=self._user, cwd="/", capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ServerFailed(f"initdb failed: {done.stdout}{done.stderr}")

    def start(self) -> None:
        """Start the server, on the same port each time, and wait until it answers."""
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self._folder,
            "max_connections": self._max_connections,
            "shared_buffers": "16MB",
            "fsync": "off",  # processes die in these tests, machines do not
        }
        command: list[str | Path] = [self._bin / "postgres", "-D", self._folder / "data"]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, user=self._user, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._await_ready()

    def database(self) -> str:
        """Create an empty database and return its URL."""
        self._databases += 1
        name = f"portside_{self._databases}"
        execute(self.url(), f"CREATE DATABASE {name}")
        return self.url(name)

    def prepare(self, upgrade: Callable[[str], object]) -> None:
        """Create the one database that `emptied` gives, with the tables that `upgrade` makes, called with its URL."""
        self._prepared = self.database()
        upgrade(self._prepared)

    def emptied(self) -> str:
        """Return the URL of the prepared database, its tables empty; this is quicker than a new one."""
        execute(self._prepared, "DELETE FROM portside_keys", "DELETE FROM portside_audit")
        return self._prepared

    def pause(self) -> None:
        """Stop every process of the server where it stands; connections stay, answers do not come."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End every process of the server at once, as a crash would."""
        if self._process is None:
            return
        self._signal(signal.SIGKILL)
        self._process.wait(_STOP_S)
        self._process = None

    def restart(self) -> None:
        """Stop the server the way administrators do, ending open connections, and start it again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(_STOP_S)
        self.start()

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to the server and its children, each of which leads a session of its own."""
        if self._process is None:
            return
        for pid in (self._process.pid, *_children(self._process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            with suppress(OSError, cast("Any", asyncpg).PostgresError):
                execute(self.url(), "SELECT 1")
                return
            time.sleep(_POLL_S)  # another process: there is nothing to wait on but its answer
        raise ServerFailed(f"PostgreSQL did not start:\n{(self._folder / 'log').read_text(errors='replace')[-4000:]}")


def execute(url: str, *statements: str) -> list[Any]:
    """Run statements, each on its own, and return the rows of the last one. Not from within a running loop."""

    async def run() -> list[Any]:
        connection = await cast("Any", asyncpg).connect(url, statement_cache_size=0)  # it may lead to PgBouncer
        try:
            rows: list[Any] = []
            for statement in statements:
                rows = await connection.fetch(statement)
            return rows
        finally:
            await connection.close()

    return asyncio.run(run())


@asynccontextmanager
async def all_connections(url: str) -> AsyncGenerator[None]:
    """Hold every connection that a server has to give, for the block."""
    driver = cast("Any", asyncpg)
    held: list[Any] = []
    try:
        with suppress(driver.TooManyConnectionsError):
            while True:
                held.append(await driver.connect(url))
        yield
    finally:
        for connection in held:
            await connection.close()


@asynccontextmanager
async def silent_after_login(server: Postgres) -> AsyncGenerator[int]:
    """A way to a server that lets clients log in and then goes dead, as when a network is cut; gives its port."""
    ready = b"Z\x00\x00\x00\x05I"  # ReadyForQuery

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside, outside = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            async with asyncio.TaskGroup() as group:
                towards = group.create_task(_pump(reader, outside, until=None))
                await _pump(inside, writer, until=ready)
                towards.cancel()
            while await reader.read(1024):
                pass  # heard by nobody
        finally:
            writer.close()
            outside.close()

    listener = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, until: bytes | None) -> None:
    """Pass on what comes, to the end or until it ends with some bytes."""
    while data := await reader.read(65536):
        writer.write(data)
        if until is not None and data.endswith(until):
            return


@contextmanager
def postgres(*, max_connections: int = 50) -> Generator[Postgres]:
    """Run a PostgreSQL server for the block. Skips the calling test where it is not installed."""
    require("postgres", _postgres_folder())
    with scratch("portside-postgres-") as folder:
        server = Postgres(folder, max_connections=max_connections)
        server.create()
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def pgbouncer(server: Postgres) -> Generator[int]:
    """Run PgBouncer before a server for the block, in transaction mode with two backends, and give its port."""
    program = require("pgbouncer")
    user = _unprivileged()
    port = free_port()
    with scratch("portside-pgbouncer-") as folder:
        (folder / "users").write_text(f'"portside" "{_PASSWORD}"\n', encoding="ascii")
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": port,
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": folder / "users",
            "pool_mode": "transaction",
            "default_pool_size": 2,
        }
        text = [f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]"]
        text += [f"{name} = {value}" for name, value in settings.items()]
        (folder / "settings").write_text("\n".join(text) + "\n", encoding="ascii")
        _give(user, folder, folder / "users", folder / "settings")
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen([program, folder / "settings"], user=user, cwd="/", stdout=log, stderr=log)
        try:
            _await_port(port, process, folder / "log")
            yield port
        finally:
            process.kill()
            process.wait()


@contextmanager
def scratch(prefix: str) -> Generator[Path]:
    """A folder that an unprivileged server can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _give(user: str | None, *paths: Path) -> None:
    if user is not None:
        for path in paths:
            shutil.chown(path, user)


def _unprivileged() -> str | None:
    """Return whom to run servers as that refuse to run as root; None where we are not root ourselves."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in known)


def _children(pid: int) -> Sequence[int]:
    """Return the direct children of a process."""
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def _await_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(_POLL_S)  # another process: there is nothing to wait on but its answer
    raise ServerFailed(f"{process.args!r} did not start:\n{log.read_text(errors='replace')[-4000:]}")
