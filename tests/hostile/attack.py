"""Sends a payload and says what came of it."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from tests.hostile.payload import MARK, Payload
from tests.journeys.raw import Connection

WAIT_S: Final = 8.0
PROXY_WAIT_S: Final = 4.0
"""How long to wait for a proxy, which may hold a connection for as long as it likes to read what it has refused."""


@dataclass
class Outcome:
    """Status and body of every answer to a payload, how the connection ended, and what the next request got.

    `is_silent`: it was open still when time was up, and nothing more came.
    """

    answers: list[tuple[int, bytes]] = field(default_factory=list[tuple[int, bytes]])
    is_closed: bool = False
    is_silent: bool = False
    next: tuple[int, bytes] | None = None

    @property
    def statuses(self) -> list[int]:
        """The statuses of all answers, that of the next request too."""
        return [status for status, _ in (*self.answers, *([self.next] if self.next is not None else []))]


async def dial(port: int, tls: ssl.SSLContext | None) -> Connection:
    """Return a connection, over TLS where there is a context."""
    name = None if tls is None else "localhost"
    return Connection(*await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name))


@asynccontextmanager
async def dialled(port: int, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Connection]:
    """Hold a connection for the block; afterwards it is closed for certain."""
    connection = await dial(port, tls)
    try:
        yield connection
    finally:
        connection.writer.transport.abort()
        with suppress(OSError):
            await connection.writer.wait_closed()


async def attack(
    port: int, payload: Payload, mark: bytes, *, tls: ssl.SSLContext | None = None, wait_s: float = WAIT_S
) -> Outcome:
    """Send `payload` under the name `mark`, take as many answers as it may get, then ask something harmless.

    The harmless request finds out whether the server still knows where the payload ended.
    """
    outcome = Outcome()
    try:
        async with asyncio.timeout(wait_s), dialled(port, tls) as connection:
            await _send(connection, payload.data.replace(MARK, mark))
            if payload.later:
                await asyncio.sleep(0.05)  # so that the two are read apart
                await _send(connection, payload.later.replace(MARK, mark))
            wanted = 2 if payload.expected in ("two", "one, then refused") else 1
            for _ in range(wanted):
                outcome.answers.append(await _answer(connection))
            await _send(connection, b"GET /hit/%s-next HTTP/1.1\r\nHost: localhost\r\n\r\n" % mark)
            outcome.next = await _answer(connection)
    except TimeoutError:
        outcome.is_silent = True
    except (asyncio.IncompleteReadError, OSError):
        outcome.is_closed = True
    return outcome


async def _send(connection: Connection, data: bytes) -> None:
    connection.send(data)
    with suppress(ConnectionError):  # it may have answered and closed already
        await connection.writer.drain()


async def _answer(connection: Connection) -> tuple[int, bytes]:
    """Return the next final answer; 0 and the bytes where there is no head (HTTP/0.9)."""
    while True:
        line = await connection.reader.readline()
        if not line:
            raise asyncio.IncompleteReadError(b"", None)
        if not line.startswith(b"HTTP/1."):
            return 0, line + await connection.reader.read()
        status = int(line.split()[1])
        headers: dict[str, str] = {}
        while (text := (await connection.reader.readline()).decode("latin-1").rstrip()) != "":
            name, _, value = text.partition(":")
            headers[name.lower()] = value.strip()
        if status >= 200:
            return status, await _body(connection, headers)


async def _body(connection: Connection, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") == "chunked":
        parts: list[bytes] = []
        while part := await connection.chunk():
            parts.append(part)
        return b"".join(parts)
    if "content-length" in headers:
        return await connection.reader.readexactly(int(headers["content-length"]))
    return await connection.reader.read()
