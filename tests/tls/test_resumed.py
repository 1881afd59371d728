"""TLS sessions that are taken up again, by clients that have proven themselves before."""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from portside.edge.tls import Tls, TlsFiles
from tests.tls.certificates import Issued, Wanted, authority, issue, server
from tests.tls.served import pem, trusting

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Scene:
    """A listener that demands certificates of the authority in a file, and a client that has one of `root`."""

    root: Issued
    file: Path
    tls: Tls
    port: int
    context: ssl.SSLContext

    async def talk(self, session: ssl.SSLSession | None = None) -> ssl.SSLSession:
        """Have one line echoed and return the TLS session. Raises OSError where the server will not have it."""
        return await asyncio.to_thread(self._talk, session)

    def _talk(self, session: ssl.SSLSession | None) -> ssl.SSLSession:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        with self.context.wrap_socket(plain, server_hostname="localhost", session=session) as connection:
            connection.sendall(b"hello\n")
            if connection.recv(100) != b"hello\n":
                raise ConnectionResetError("the server has closed the connection")
            found = connection.session
            assert found is not None
            connection.unwrap()  # a session that ends without this is not kept
            return found


@asynccontextmanager
async def listening(folder: Path) -> AsyncGenerator[Scene]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    root, file = authority(), folder / "authorities.pem"
    file.write_bytes(pem(root.certificate))
    tls = Tls(TlsFiles(*server(root).write(folder, "server"), file))
    context = trusting(root, issue(root, Wanted()).write(folder, "client"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with await asyncio.start_server(echo, "127.0.0.1", 0, ssl=tls.context) as listener:
        yield Scene(root, file, tls, listener.sockets[0].getsockname()[1], context)


async def test_a_session_taken_up_again_proves_who_calls_as_a_new_one_does(tmp_path: Path) -> None:
    async with listening(tmp_path) as scene:
        await scene.talk(await scene.talk())


async def test_a_session_begun_under_a_removed_authority_is_not_taken_up_again(tmp_path: Path) -> None:
    async with listening(tmp_path) as scene:
        session = await scene.talk()
        scene.file.write_bytes(pem(authority("others").certificate))
        assert scene.tls.refresh()
        with pytest.raises(OSError, match=r"EOF|reset|closed|alert"):
            await scene.talk()
        with pytest.raises(OSError, match=r"EOF|reset|closed|alert"):
            await scene.talk(session)
