"""New certificates while requests run: nobody's handshake fails, nobody's connection is dropped (row B12)."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509

from portside.edge.stack import EdgeOptions, build
from portside.edge.tls import Tls, TlsFiles
from portside.serve import server as servers
from portside.serve.protocol import protocol_class
from tests.edge.asked import Inner
from tests.hostile.attack import dialled
from tests.journeys.raw import call, get, post
from tests.tls.certificates import Issued, authority, server
from tests.tls.served import Secured, secured, trusting

pytestmark = pytest.mark.anyio

RELOADS: Final = 100
CLIENTS: Final = 4
PATIENCE_S: Final = 30.0


def serial(context: ssl.SSLContext, writer: asyncio.StreamWriter) -> int:
    shown: ssl.SSLObject = writer.get_extra_info("ssl_object")
    found = shown.getpeercert(binary_form=True)
    assert found is not None
    return x509.load_der_x509_certificate(found).serial_number


@asynccontextmanager
async def listening(tls: Tls) -> AsyncGenerator[int]:
    """The edge and its server, as `portside serve` puts them together."""
    sock = servers.bind("127.0.0.1", 0)
    app = build(Inner(headers=[(b"content-length", b"3")]), EdgeOptions(), lambda record: None)
    protocol = protocol_class(header_timeout_s=5, max_header_bytes=32_000, max_url_bytes=8192, max_connections=100)
    made = servers.make(app, protocol, idle_timeout_s=20, tls=tls.context)
    task = asyncio.create_task(made.serve(sockets=[sock]))
    try:
        async with asyncio.timeout(60):
            yield sock.getsockname()[1]
    finally:
        made.should_exit = True
        await task


async def test_a_hundred_reloads_while_requests_run_fail_no_handshake_and_drop_no_connection(tmp_path: Path) -> None:
    root = authority()
    pairs = [server(root) for _ in range(5)]
    tls = Tls(TlsFiles(*pairs[0].write(tmp_path, "server")))
    context, is_over = trusting(root), asyncio.Event()

    async def fresh(port: int) -> int:
        """Make connections, one after the other, each with a request."""
        count = 0
        while not is_over.is_set():
            async with dialled(port, context) as connection:
                assert (await connection.ask(post({}))).status == 200
            count += 1
        return count

    async def kept(port: int) -> int:
        """Make requests on one connection."""
        count = 0
        async with dialled(port, context) as connection:
            while not is_over.is_set():
                assert (await connection.ask(post({}))).status == 200
                count += 1
        return count

    async with listening(tls) as port:
        clients = [asyncio.create_task(work(port)) for work in (fresh, kept) for _ in range(CLIENTS)]
        for number in range(1, RELOADS + 1):
            pair = pairs[number % len(pairs)]
            pair.write(tmp_path, "server")
            assert tls.refresh()
            async with dialled(port, context) as connection:
                assert serial(context, connection.writer) == pair.certificate.serial_number
                assert (await connection.ask(post({}))).status == 200
        is_over.set()
        assert min(await asyncio.gather(*clients)) > 0


async def until_shown(running: Secured, context: ssl.SSLContext, wanted: Issued) -> None:
    """Make requests on new connections until one is shown `wanted`."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with dialled(running.port, context) as connection:
                assert (await connection.ask(call("echo", {"text": "hi"}))).status == 200
                if serial(context, connection.writer) == wanted.certificate.serial_number:
                    return


async def test_a_running_server_takes_a_new_certificate_and_keeps_what_is_open(tmp_path: Path) -> None:
    root = authority()
    first, second = server(root), server(root)
    context = trusting(root)
    started = secured(*first.write(tmp_path, "server"), context)
    running = await asyncio.to_thread(started.__enter__)
    try:
        async with dialled(running.port, context) as before:
            assert (await before.ask(get("/health"))).status == 200
            second.write(tmp_path, "server")
            await until_shown(running, context, second)
            assert serial(context, before.writer) == first.certificate.serial_number
            assert (await before.ask(get("/health"))).status == 200
        assert running.printed().count("tls.reloaded") == 1
    finally:
        await asyncio.to_thread(started.__exit__, None, None, None)
