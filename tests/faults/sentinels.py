"""A Redis with a replica and three Sentinels that fail over: six lives, all ended with the block."""

import shutil
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.redis import PASSWORD, Redis
from tests.processes import ServerFailed

NAME: Final = "main"
_LINKED_S: Final = 15.0
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Who watches whom; `master` and `replica` as they were at the beginning."""

    master: Redis
    replica: Redis
    watching: tuple[Redis, ...]

    @property
    def url(self) -> str:
        """What a client is given that follows a failover."""
        places = ",".join(f"127.0.0.1:{one.port}" for one in self.watching)
        return f"redis+sentinel://:{PASSWORD}@{places}/{NAME}?db=0"

    def master_port(self) -> int:
        """Return where the Sentinels say the master is now."""
        return int(self.watching[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME).split()[1])

    def await_failover(self, timeout_s: float = 15) -> None:
        """Return once the replica is the master. Raises ServerFailed where that takes longer."""
        deadline = time.monotonic() + timeout_s
        while self.master_port() != self.replica.port or "role:master" not in self.replica.ask("INFO", "replication"):
            if time.monotonic() > deadline:
                raise ServerFailed(f"no failover within {timeout_s:g} s:\n{self.watching[0].printed()}")
            time.sleep(_POLL_S)  # other processes: there is nothing to wait on but what they say


@contextmanager
def sentinels(*, down_after_ms: int = 1000) -> Generator[Sentinels]:
    """Run them for the block, linked and knowing each other. Skips the calling test where Redis is not installed."""
    folder = Path(tempfile.mkdtemp(prefix="portside-sentinels-"))
    started: list[Redis] = []

    def start(name: str, settings: dict[str, str | int], *, is_sentinel: bool = False) -> Redis:
        (folder / name).mkdir()
        server = Redis(folder / name, settings, is_sentinel=is_sentinel)
        started.append(server)
        server.start()
        return server

    try:
        fast: dict[str, str | int] = {"repl-diskless-sync": "yes", "repl-diskless-sync-delay": 0}
        master = start("master", fast)
        replica = start("replica", {**fast, "replicaof": f"127.0.0.1 {master.port}"})
        watched: dict[str, str | int] = {
            "sentinel monitor": f"{NAME} 127.0.0.1 {master.port} 2",
            "sentinel auth-pass": f"{NAME} {PASSWORD}",
            "sentinel down-after-milliseconds": f"{NAME} {down_after_ms}",
            "sentinel failover-timeout": f"{NAME} 5000",
            "protected-mode": "no",
        }
        watching = tuple(start(f"sentinel-{number}", watched, is_sentinel=True) for number in range(3))
        cluster = Sentinels(master, replica, watching)
        _await_linked(cluster)
        yield cluster
    finally:
        for server in started:
            server.kill()
        shutil.rmtree(folder)


def _await_linked(cluster: Sentinels) -> None:
    deadline = time.monotonic() + _LINKED_S
    while time.monotonic() < deadline:
        lines = [one.ask("SENTINEL", "MASTERS").split("\n") for one in cluster.watching]
        known = [dict(zip(each[::2], each[1::2], strict=False)) for each in lines]
        if all(one.get("num-slaves") == "1" and one.get("num-other-sentinels") == "2" for one in known):
            return
        time.sleep(_POLL_S)  # other processes: there is nothing to wait on but what they say
    raise ServerFailed(f"the Sentinels did not find each other:\n{cluster.watching[0].printed()}")
