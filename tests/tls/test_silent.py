"""Clients that say nothing: in the middle of a handshake, and when the connection is to end."""

import asyncio
import socket
import ssl
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.journeys.raw import get
from tests.tls.certificates import Issued, authority, server
from tests.tls.served import Secured, secured, trusting

HEAD_S = 0.5
PATIENCE_S = 10.0
"""Far above what was set; the event loop itself would give a minute for handshakes, and half of one for goodbyes."""


def first_flight() -> bytes:
    """Return the first bytes of a handshake."""
    outgoing = ssl.MemoryBIO()
    begun = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        begun.do_handshake()
    return outgoing.read()


async def ended(running: Secured, said: bytes) -> None:
    """Say so much and then nothing; return once the server has closed the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    with closing(writer):
        writer.write(said)
        async with asyncio.timeout(PATIENCE_S):
            while await reader.read(65536):
                pass


@pytest.fixture(scope="module")
def root() -> Issued:
    return authority()


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_handshake_has_as_long_as_a_head(tmp_path: Path, root: Issued, share: float) -> None:
    chain, key = server(root).write(tmp_path, "server")
    hello = first_flight()
    settings = {"PORTSIDE_HEADER_TIMEOUT_MS": str(round(HEAD_S * 1000))}
    with secured(chain, key, trusting(root), settings) as running:
        asyncio.run(ended(running, hello[: round(len(hello) * share)]))
        assert asyncio.run(running.ask(get("/health"), trusting(root))).status == 200
        assert "Traceback" not in running.printed()


def test_a_client_that_does_not_say_goodbye_does_not_hold_up_the_end(tmp_path: Path, root: Issued) -> None:
    """The server, which `secured` asks to end, would otherwise wait half a minute for the client's word."""
    chain, key = server(root).write(tmp_path, "server")
    with ExitStack() as held, secured(chain, key, trusting(root)) as running:
        plain = held.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=PATIENCE_S))
        silent = held.enter_context(trusting(root).wrap_socket(plain, server_hostname="localhost"))
        silent.sendall(get("/health"))
        assert silent.recv(64).startswith(b"HTTP/1.1 200 ")
