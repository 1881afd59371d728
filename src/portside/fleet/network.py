"""What a replica's port tells: whether it is ready, and whether connections still wait to be accepted."""

import asyncio
import secrets
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

PROBE_S: Final = 2.0
_PORTS: Final = range(20_000, 32_000)  # below those the kernel gives to clients' ends
_REQUEST: Final = b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_LISTEN: Final = "0A"


async def ready(port: int) -> bool | None:
    """Ask `/ready` of the replica at this port: True for 200, False for anything else, None where nothing came back."""
    try:
        async with asyncio.timeout(PROBE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(_REQUEST)
                line = await reader.readline()
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError, ValueError):  # ValueError: a line without an end
        return None
    words = line.split()
    return None if len(words) < 2 else words[1] == b"200"


def backlog(port: int) -> int:
    """Return how many connections to a listening port of the loopback wait to be accepted; proc(5), net/tcp."""
    waiting = 0
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
            waiting += int(fields[4].partition(":")[2], 16)
    return waiting


def is_free(host: str, port: int) -> bool:
    """Say whether a server could listen there now."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError:
        return False
    return True


def free_ports(count: int) -> list[int]:
    """Return different ports of the loopback that are free now. Raises OSError where there are too few."""
    found: set[int] = set()
    for _ in range(100 * count):
        port = secrets.choice(_PORTS)
        if is_free("127.0.0.1", port):
            found.add(port)
        if len(found) == count:
            return sorted(found)
    raise OSError(f"fewer than {count} ports from {_PORTS.start} to {_PORTS.stop - 1} are free")
