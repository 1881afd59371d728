"""A Redis with a replica and three Sentinels that fail over: five processes, all ended with the block."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from tests.processes import ServerFailed
from tests.redis_servers import PASSWORD, RedisServer, Settings
from tests.servers import require, scratch

NAME: Final = "main"
_LINKED_S: Final = 15.0
_POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Who watches whom; `master` and `replica` as they were at the beginning."""

    master: RedisServer
    replica: RedisServer
    watching: tuple[RedisServer, ...]

    @property
    def url(self) -> str:
        """What a client is given that follows a failover, without the password."""
        return f"redis+sentinel://{','.join(f'127.0.0.1:{one.port}' for one in self.watching)}/{NAME}?db=0"

    def master_port(self) -> int:
        """Return where the Sentinels say the master is now."""
        found = self.watching[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        return int(cast("list[bytes]", found)[1])

    def await_failover(self, timeout_s: float = 15) -> None:
        """Return once the replica is the master. Raises ServerFailed where that takes longer."""
        deadline = time.monotonic() + timeout_s
        while self.master_port() != self.replica.port or not self._is_master(self.replica):
            if time.monotonic() > deadline:
                raise ServerFailed(f"no failover within {timeout_s:g} s:\n{self.watching[0].printed()}")
            time.sleep(_POLL_S)  # other processes: there is nothing to wait on but what they say

    def await_linked(self) -> None:
        """Return once every Sentinel knows the others and the replica. Raises ServerFailed where that takes long."""
        deadline = time.monotonic() + _LINKED_S
        while not all(map(_is_linked, self.watching)):
            if time.monotonic() > deadline:
                raise ServerFailed(f"the Sentinels did not find each other:\n{self.watching[0].printed()}")
            time.sleep(_POLL_S)  # other processes: there is nothing to wait on but what they say

    @staticmethod
    def _is_master(server: RedisServer) -> bool:
        return b"role:master" in cast("bytes", server.ask("INFO", "replication"))


def _is_linked(sentinel: RedisServer) -> bool:
    told = cast("list[bytes]", sentinel.ask("SENTINEL", "MASTER", NAME))
    known = dict(zip(told[::2], told[1::2], strict=True))
    return (known[b"num-slaves"], known[b"num-other-sentinels"]) == (b"1", b"2")


@contextmanager
def sentinels(*, down_after_ms: int) -> Generator[Sentinels]:
    """Run them for the block, linked and knowing each other. Skips the calling test where Redis is not installed."""
    program = require("redis-server")
    started: list[RedisServer] = []

    def start(place: Path, settings: Settings, *, is_sentinel: bool = False) -> RedisServer:
        place.mkdir()
        server = RedisServer(place, program, settings, is_sentinel=is_sentinel)
        started.append(server)
        server.start()
        return server

    with scratch("portside-sentinels-") as folder:
        try:
            fast: Settings = {"repl-diskless-sync": "yes", "repl-diskless-sync-delay": 0}
            master = start(folder / "master", fast)
            replica = start(folder / "replica", {**fast, "replicaof": f"127.0.0.1 {master.port}"})
            watched: Settings = {
                "sentinel monitor": f"{NAME} 127.0.0.1 {master.port} 2",
                "sentinel auth-pass": f"{NAME} {PASSWORD}",
                "sentinel down-after-milliseconds": f"{NAME} {down_after_ms}",
                "sentinel failover-timeout": f"{NAME} 3000",
                "protected-mode": "no",
            }
            watching = [start(folder / f"sentinel-{number}", watched, is_sentinel=True) for number in range(3)]
            cluster = Sentinels(master, replica, tuple(watching))
            cluster.await_linked()
            yield cluster
        finally:
            for server in started:
                server.kill()
