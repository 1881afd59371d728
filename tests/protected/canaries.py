"""Secrets that are looked for wherever they must not be, in every form they may have taken on the way."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote


@dataclass
class Canaries:
    """Secrets by name. A secret in hex is looked for as the bytes it stands for too."""

    secrets: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, name: str, secret: str) -> str:
        """Have a secret looked for from now on, and return it."""
        self.secrets[name] = secret
        return secret

    def found(self, data: bytes | str, *, but: Iterable[str] = ()) -> list[str]:
        """Return the names of all secrets that are in `data`, those aside that may be."""
        raw = data.encode() if isinstance(data, str) else data
        wanted = {name: secret for name, secret in self.secrets.items() if name not in but}
        return [name for name, secret in wanted.items() if any(form in raw for form in _forms(secret))]

    def found_below(self, folder: Path, *, but: Iterable[str] = ()) -> Mapping[str, list[str]]:
        """Return the same for every file below a folder that holds any."""
        files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        found = {str(file.relative_to(folder)): self.found(file.read_bytes(), but=but) for file in files}
        return {name: names for name, names in found.items() if names}


def _forms(secret: str) -> set[bytes]:
    """Return a secret as it is, encoded, escaped and cut, and what would do in its place."""
    text = secret.encode()
    forms = {text, base64.b64encode(text).rstrip(b"="), quote(secret, safe="").encode(), text.hex().encode()}
    # The head of every token is alike; of all else a half would do harm as well.
    forms |= {text[-24:]} if len(text) >= 48 else set()
    forms |= {text[:24]} if len(text) >= 48 and "." not in secret else set()
    with suppress(ValueError):
        key = bytes.fromhex(secret)
        forms |= {key, base64.b64encode(key).rstrip(b"="), base64.urlsafe_b64encode(key).rstrip(b"=")}
        forms |= {repr(key)[2:-1].encode(), hashlib.sha256(key).hexdigest().encode()}
    return forms


@dataclass
class Tap:
    """A line between two servers, and all that went over it."""

    port: int = 0
    sent: bytearray = field(default_factory=bytearray)
    answered: bytearray = field(default_factory=bytearray)


@asynccontextmanager
async def tapped(port: int) -> AsyncGenerator[Tap]:
    """Pass connections on to `port` of this machine for the block, and keep what they say."""
    tap = Tap()
    running: set[asyncio.Task[None]] = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                kept += data
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pass_on(reader, back, tap.sent), pass_on(there, writer, tap.answered))

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        tap.port = server.sockets[0].getsockname()[1]
        yield tap
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
