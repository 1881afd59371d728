"""The end of a fleet: the proxy takes nothing more, the replicas finish, then everything goes."""

import asyncio
import shutil
import signal
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from portside.clock import Clock
from portside.fleet.folder import Folder
from portside.fleet.process import Process, is_alive, kill_group, send
from portside.fleet.proxy import SOFT
from portside.fleet.record import Recorded, processes_of

CALM_S: Final = 0.2
SERVICE_S: Final = 5.0
_POLL_S: Final = 0.05


async def end(
    recorded: Recorded,
    folder: Folder,
    clock: Clock,
    drain_s: float,
    say: Callable[[str], None],
    *,
    reap: Callable[[], None] = lambda: None,
    is_hurried: Callable[[], bool] = lambda: False,
) -> None:
    """End everything that was written down, and remove what belongs to it; logs and the key stay.

    Calls have `drain_s` to finish, nothing where `is_hurried` says so. `reap` is called again and again, for whoever
    started the processes.
    """
    replicas = {f"server-{number}": one for number, one in processes_of(recorded).items() if is_alive(one)}
    soft = SOFT.get(recorded.facts.proxy)
    if recorded.proxy is not None and soft is not None:
        send(recorded.proxy, soft)
        await asyncio.sleep(CALM_S)
    if replicas:
        say(f"ending {', '.join(replicas)}: calls have {drain_s:g} s to finish")
    for replica in replicas.values():
        send(replica, signal.SIGTERM)
    for name in await _gone(replicas, clock, drain_s, reap, is_hurried):
        say(f"{name} did not end in time: killed")
    for name, service in (("proxy", recorded.proxy), ("redis", recorded.redis)):
        if service is None or not is_alive(service):
            continue
        send(service, signal.SIGTERM)
        for _ in await _gone({name: service}, clock, SERVICE_S, reap, is_hurried):
            say(f"the {name} did not end in time: killed")
    _remove(folder, recorded)
    say("down")


async def _gone(
    processes: Mapping[str, Process],
    clock: Clock,
    patience_s: float,
    reap: Callable[[], None],
    is_hurried: Callable[[], bool],
) -> list[str]:
    """Wait until none is left, kill those that stay too long, and return their names."""
    deadline = clock.monotonic() + patience_s
    while clock.monotonic() < deadline and not is_hurried() and _any_alive(processes.values()):
        await asyncio.sleep(_POLL_S)
        reap()
    late = [name for name, process in processes.items() if is_alive(process)]
    for name in late:
        kill_group(processes[name])
    while _any_alive(processes.values()):
        await asyncio.sleep(_POLL_S)
        reap()
    reap()
    return late


def _any_alive(processes: Iterable[Process]) -> bool:
    return any(is_alive(process) for process in processes)


def _remove(folder: Folder, recorded: Recorded) -> None:
    for name in ("haproxy.sock", "haproxy.cfg", "nginx.conf", "bundle.pem", "redis.conf"):
        (folder.root / name).unlink(missing_ok=True)
    if recorded.facts.gates is not None and Path(recorded.facts.gates).is_dir():
        shutil.rmtree(recorded.facts.gates)
    folder.state.unlink(missing_ok=True)
