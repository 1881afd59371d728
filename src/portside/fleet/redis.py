"""The local Redis of a fleet: for what replicas share and may lose, so nothing is written to disk."""

from portside.fleet.folder import Folder, write
from portside.fleet.process import Process, find


def prepare(folder: Folder, port: int, program: str) -> list[str]:
    """Write the settings, password and all, for the owner alone; return the command."""
    lines = (
        "bind 127.0.0.1",
        f"port {port}",
        "protected-mode yes",
        f"requirepass {folder.secret(folder.redis_password)}",
        "daemonize no",
        "set-proc-title no",
        'save ""',
        "appendonly no",
        "# Leases and limits must not vanish while they are good: refuse writes instead.",
        "maxmemory 256mb",
        "maxmemory-policy noeviction",
        f"dir {folder.root}",
    )
    write(folder.redis_conf, "\n".join(lines) + "\n")
    return [program, str(folder.redis_conf)]


def running(folder: Folder) -> Process | None:
    """Return its process where it runs without having been written down."""
    return find(str(folder.redis_conf))
