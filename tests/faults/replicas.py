"""N replicas of one deployment over one Redis, each with its own way to it, behind a front: all real, all ended."""

import asyncio
import secrets
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.faults.effects import Effects
from tests.faults.fronts import Before, Kinds, front
from tests.faults.patience import SLACK
from tests.faults.proxy import FaultProxy, fault_proxy
from tests.faults.replica import Replica
from tests.redis_servers import PASSWORD, RedisServer, redis_server

SERVER: Final = "tests/faults/server.py"
CHILD: Final = f"stdio:{sys.executable} -m tests.faults.server"
FASTMCP: Final = "tests/faults/server_fastmcp.py"
V1: Final = "tests/faults/server_v1.py"
"""Needs `python=python_of("sdk1")` of `tests.families.environments`."""


@dataclass
class Cluster:
    """A deployment that runs. Replicas are counted from 0; every method but the properties may be awaited at once.

    `ways` leads each replica to Redis, where that was asked for; `front` is what clients ask, where there is one.
    """

    replicas: Sequence[Replica]
    redis: RedisServer | None
    ways: Sequence[FaultProxy]
    effects: Effects
    front: Before | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def ports(self) -> Sequence[int]:
        """The replicas' own ports."""
        return [replica.port for replica in self.replicas]

    @property
    def port(self) -> int:
        """The port clients ask: the front's, or the first replica's."""
        return self.ports[0] if self.front is None else self.front.port

    @property
    def urls(self) -> Sequence[str]:
        """The replicas' own MCP endpoints."""
        return [f"{replica.origin}/mcp" for replica in self.replicas]

    @property
    def url(self) -> str:
        """The endpoint clients ask."""
        if self.front is None:
            return self.urls[0]
        return f"https://localhost:{self.port}/mcp" if self.front.tls else f"http://127.0.0.1:{self.port}/mcp"

    async def kill(self, index: int) -> None:
        """End a replica at once (`kill -9`)."""
        await asyncio.to_thread(self.replicas[index].kill)

    def stop(self, index: int) -> None:
        """Stop a replica where it stands (SIGSTOP)."""
        self.replicas[index].stop()

    def cont(self, index: int) -> None:
        """Let a stopped replica go on (SIGCONT)."""
        self.replicas[index].cont()

    async def terminate(self, index: int) -> int:
        """Ask a replica to end, wait for its drain and return its exit code."""
        return await asyncio.to_thread(self.replicas[index].terminate)

    async def restart(self, index: int) -> None:
        """Start a replica that has ended, on the same port, and wait until it is ready."""
        await asyncio.to_thread(self.replicas[index].start)

    async def await_ready(self, index: int, status: int = 200, timeout_s: float = 20) -> None:
        """Wait until a replica's `/ready` answers so."""
        await asyncio.to_thread(self.replicas[index].await_status, status, timeout_s)

    def printed(self) -> str:
        """Return what every replica wrote in all its lives, for a failed test to show."""
        return "\n".join(f"== {replica.name}\n{replica.printed()[-6000:]}" for replica in self.replicas)

    def tracebacks(self) -> Sequence[str]:
        """Return the lines of the logs that hold a traceback; tests of faults expect none."""
        lines = [line for replica in self.replicas for line in replica.printed().splitlines()]
        return [line for line in lines if "Traceback" in line]


@asynccontextmanager
async def replicas(
    count: int = 3,
    *,
    server: str = SERVER,
    store: RedisServer | None = None,
    has_redis: bool = True,
    has_ways: bool = False,
    proxy: Kinds | None = None,
    arguments: Sequence[str] = (),
    python: Path | None = None,
    environment: Mapping[str, str] | Callable[[int], Mapping[str, str]] | None = None,
) -> AsyncGenerator[Cluster]:
    """Run `count` replicas of `server` for the block, all ready when it starts; nothing of them is left after it.

    They share `store`, or a Redis of their own unless `has_redis` is false; with `has_ways` each reaches it through a
    fault proxy. `python` is the interpreter, where the server needs another environment. `environment` is added for
    each, or by its index. The user is whoever asks: no authentication, no limit on requests. Skips the calling test
    where a server is not installed.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="portside-replicas-")))
        if store is None and has_redis:
            store = stack.enter_context(redis_server())
        ways = [stack.enter_context(fault_proxy(store.port)) for _ in range(count)] if store and has_ways else []
        effects = Effects(folder / "effects")
        shared = {
            "ENCRYPTION_KEY": secrets.token_hex(32),
            "RATE_LIMIT_MAX_REQUESTS": "0",
            "MCP_ENV": "production",
            # A machine that does other things as well must not look like a Redis that is away.
            "PORTSIDE_REDIS_TIMEOUT_MS": str(round(500 * SLACK)),
            **effects.environment,
        }
        made: list[Replica] = []
        for index in range(count):
            own = environment(index) if callable(environment) else environment or {}
            data = {"PORTSIDE_DATA_DIR": str(folder / f"data-{index}")}
            way = _way(store, ways[index].port if ways else None)
            made.append(Replica(f"replica-{index}", server, arguments, {**shared, **data, **way, **own}, python=python))
            stack.callback(made[-1].close)
        await asyncio.gather(*(asyncio.to_thread(replica.start) for replica in made))
        before = None
        if proxy is not None:
            before = await asyncio.to_thread(stack.enter_context, front(proxy, [replica.port for replica in made]))
        yield Cluster(made, store, ways, effects, before, shared)


def _way(store: RedisServer | None, port: int | None) -> Mapping[str, str]:
    """Return the settings that lead to Redis; the password apart from the URL, as deployments keep it."""
    if store is None:
        return {}
    return {"REDIS_URL": f"redis://127.0.0.1:{port or store.port}/0", "REDIS_PASSWORD": PASSWORD}
