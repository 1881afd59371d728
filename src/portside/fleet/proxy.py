"""The proxies a fleet can stand behind, each told who is in use: HAProxy by its socket, nginx by files and reloads."""

import asyncio
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from portside.errors import PortsideError, StartFailed
from portside.fleet.folder import FleetFailed, Folder, write
from portside.fleet.process import Process, find, send
from portside.fleet.record import Facts, ProxyName
from portside.fleet.slot import Slot
from portside.targets import haproxy, nginx, nginx_gates
from portside.targets.front import Backend, Front

RUNTIME_S: Final = 2.0
_PLACES: Final = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"


class Proxy(Protocol):
    """What the supervisor asks of a proxy."""

    def prepare(self, slots: Sequence[Slot], limit: int) -> list[str]:
        """Write its configuration as the slots are now, `limit` being the last one in use; return its command."""
        ...

    def running(self) -> Process | None:
        """Return its process where it runs without having been written down."""
        ...

    async def admit(self, slot: Slot) -> None:
        """Send requests to a slot. Raises FleetFailed where the proxy does not take it."""
        ...

    async def withdraw(self, slot: Slot) -> None:
        """Send no more requests to a slot; those under way go on. Raises FleetFailed."""
        ...

    async def resize(self, slots: Sequence[Slot], limit: int, process: Process) -> None:
        """Make ready for another number of slots. Raises FleetFailed."""
        ...


@dataclass(frozen=True, slots=True)
class Shape:
    """What a rendered front takes from the settings; see `Front`. `certificate` and `key` are files, or both None."""

    certificate: Path | None
    key: Path | None
    max_body_bytes: int
    header_timeout_s: int
    body_timeout_s: int
    send_timeout_s: int
    session_idle_s: int


def make(facts: Facts, shape: Shape, folder: Folder) -> Proxy | None:
    """Return the proxy of a fleet, None where it has none. Raises StartFailed where it is not installed."""
    if facts.proxy == "none":
        return None
    program = installed(facts.proxy)
    if facts.proxy == "haproxy":
        return HAProxy(program, facts, shape, folder)
    return Nginx(program, facts, shape, folder)


def installed(name: ProxyName | str) -> str:
    """Return the path of a program. Raises StartFailed, saying how to install it."""
    found = shutil.which(name, path=_PLACES)
    if found is None:
        raise StartFailed(f"{name} is not installed", hint=f"apt install {name}, or the like on this system")
    return found


def new_gates() -> str:
    """Make the folder of nginx's gates: its workers must see it, also where they run as another user."""
    folder = Path(tempfile.mkdtemp(prefix="portside-fleet-"))
    folder.chmod(0o755)
    return str(folder)


SOFT: Final[Mapping[ProxyName, signal.Signals]] = {"haproxy": signal.SIGUSR1, "nginx": signal.SIGQUIT}
"""What tells a proxy to accept nothing more, finish what there is, and end."""


class HAProxy:
    """HAProxy: all slots are in its configuration from the start, and switched on and off by its socket."""

    def __init__(self, program: str, facts: Facts, shape: Shape, folder: Folder) -> None:
        self._program = program
        self._front = _front(facts, shape, str(folder.root))
        self._shape = shape
        self._folder = folder
        self._conf = folder.root / "haproxy.cfg"
        self._socket = folder.root / "haproxy.sock"

    def prepare(self, slots: Sequence[Slot], limit: int) -> list[str]:
        front = replace(self._front, backends=_backends(slots, lambda slot: not slot.is_in))
        if self._shape.certificate is not None and self._shape.key is not None:
            parts = (_read(self._shape.certificate), _read(self._shape.key))
            write(self._folder.bundle, "\n".join(parts))
            front = replace(front, bundle=str(self._folder.bundle))
        write(self._conf, haproxy.render(front))
        return [self._program, "-db", "-f", str(self._conf)]

    def running(self) -> Process | None:
        return find("-f", str(self._conf))

    async def admit(self, slot: Slot) -> None:
        await self._tell(f"set server replicas/{slot.name} state ready")

    async def withdraw(self, slot: Slot) -> None:
        # Not `drain`, which goes on sending what belongs to the replica's sessions: they are to move on now.
        await self._tell(f"set server replicas/{slot.name} state maint")

    async def resize(self, slots: Sequence[Slot], limit: int, process: Process) -> None:
        """Do nothing: every slot is there already."""

    async def _tell(self, command: str) -> None:
        try:
            async with asyncio.timeout(RUNTIME_S):
                reader, writer = await asyncio.open_unix_connection(str(self._socket))
                try:
                    writer.write(command.encode() + b"\n")
                    said = (await reader.read()).decode(errors="replace").strip()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise FleetFailed(f"HAProxy does not answer on its socket: {type(error).__name__}") from error
        if said:
            raise FleetFailed(f"HAProxy refused {command!r}: {said}")


class Nginx:
    """nginx: a file takes a replica out of use at once; only another number of replicas takes a reload."""

    def __init__(self, program: str, facts: Facts, shape: Shape, folder: Folder) -> None:
        self._program = program
        self._gates = Path(facts.gates or str(folder.root))
        self._front = replace(_front(facts, shape, str(self._gates)), gates=str(self._gates))
        if shape.certificate is not None:
            certificate, key = str(shape.certificate.resolve()), str((shape.key or shape.certificate).resolve())
            self._front = replace(self._front, certificate=certificate, key=key)
        self._conf = folder.root / "nginx.conf"

    def prepare(self, slots: Sequence[Slot], limit: int) -> list[str]:
        # One more than are in use: where a roll's extra replica goes.
        known = slots[: limit + 1]
        write(self._conf, nginx.render(replace(self._front, backends=_backends(known, lambda one: one.number > limit))))
        for slot in slots:
            self._gate(slot, is_in=slot.is_in)
        # Not as a daemon: its log goes where ours goes.
        return [self._program, "-c", str(self._conf), "-e", "/dev/stderr", "-g", "daemon off;"]

    def running(self) -> Process | None:
        return find("-c", str(self._conf))

    async def admit(self, slot: Slot) -> None:
        self._gate(slot, is_in=True)

    async def withdraw(self, slot: Slot) -> None:
        self._gate(slot, is_in=False)

    async def resize(self, slots: Sequence[Slot], limit: int, process: Process) -> None:
        self.prepare(slots, limit)
        send(process, signal.SIGHUP)

    def _gate(self, slot: Slot, *, is_in: bool) -> None:
        file = self._gates / nginx_gates.gate(slot.name)
        try:
            if is_in:
                file.unlink(missing_ok=True)
            else:
                file.touch(mode=0o644)
        except OSError as error:
            raise FleetFailed(f"{file}: {error.strerror}") from error


def answers(host: str, port: int) -> bool:
    """Say whether anybody accepts connections there."""
    try:
        with socket.create_connection((reachable(host), port), timeout=1):
            return True
    except OSError:
        return False


def reachable(host: str) -> str:
    """Return the address to connect to where a server listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host.strip("[]"))  # noqa: S104


def _front(facts: Facts, shape: Shape, runtime_folder: str) -> Front:
    host = f"[{facts.host}]" if ":" in facts.host and not facts.host.startswith("[") else facts.host
    return Front(
        (Backend("nobody", "127.0.0.1"),),
        http_port=facts.port,
        https_port=facts.port,
        stats_port=facts.stats_port,
        address=host,
        max_body_bytes=shape.max_body_bytes,
        header_timeout_s=shape.header_timeout_s,
        body_timeout_s=shape.body_timeout_s,
        send_timeout_s=shape.send_timeout_s,
        session_idle_s=shape.session_idle_s,
        runtime_folder=runtime_folder,
        redirects=False,
    )


def _backends(slots: Sequence[Slot], is_out: Callable[[Slot], bool]) -> tuple[Backend, ...]:
    return tuple(Backend(slot.name, "127.0.0.1", slot.port, is_out(slot)) for slot in slots)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise PortsideError(f"{file} cannot be read: {error}") from error
