"""Upstreams over TLS: whose certificate is believed, and which one is shown."""

import asyncio
from pathlib import Path

import pytest

from portside.errors import HostGone, StartFailed
from portside.hosting.http.client import Pool
from portside.hosting.http.transport import Request, Untrusted
from portside.hosting.upstream.credentials import TlsFiles, tls_context
from portside.hosting.upstream.host import UpstreamOptions, upstream
from portside.secret import Secret
from tests.upstream.certificates import Authority, server_context
from tests.upstream.scripted import Asked, Peer, scripted

pytestmark = pytest.mark.anyio

ASKED = Request(b"POST", b"/mcp", [], b"{}")


async def fine(asked: Asked, peer: Peer) -> None:
    await peer.answer(200, b"fine")


async def test_a_certificate_of_a_named_ca_is_believed_and_the_connection_kept(tmp_path: Path) -> None:
    ca = Authority(tmp_path, "ca")
    async with scripted(fine, tls=server_context(ca.sign("server"))) as server, asyncio.timeout(20):
        pool = Pool(server.address, tls=tls_context(TlsFiles(ca=ca.file)))
        for _ in range(3):
            assert await (await pool.send(ASKED)).read(100) == b"fine"
        await pool.close()
    assert server.connections == 1


async def test_a_certificate_nobody_vouches_for_is_not_believed_and_nothing_is_sent(tmp_path: Path) -> None:
    server_ca, other_ca = Authority(tmp_path, "ca"), Authority(tmp_path, "other")
    async with scripted(fine, tls=server_context(server_ca.sign("server"))) as server, asyncio.timeout(20):
        pool = Pool(server.address, tls=tls_context(TlsFiles(ca=other_ca.file)))
        with pytest.raises(Untrusted, match="no certificate that is trusted"):
            await pool.send(ASKED)
        await pool.close()
    assert server.asked == []


async def test_an_upstream_that_is_not_trusted_ends_the_start(tmp_path: Path) -> None:
    async with scripted(fine, tls=server_context(Authority(tmp_path, "ca").sign("server"))) as server:
        host = upstream(server.url)
        async with asyncio.timeout(20):
            with pytest.raises(StartFailed, match="no certificate that is trusted"):
                await host.start()
        await host.close()


async def test_a_client_certificate_lets_us_in(tmp_path: Path) -> None:
    ca = Authority(tmp_path, "ca")
    mine = ca.sign("client", password=b"opensesame")
    files = TlsFiles(ca.file, mine.certificate, mine.key, Secret(b"opensesame"))
    async with scripted(fine, tls=server_context(ca.sign("server"), clients_of=ca)) as server, asyncio.timeout(20):
        pool = Pool(server.address, tls=tls_context(files))
        assert await (await pool.send(ASKED)).read(100) == b"fine"
        await pool.close()


async def test_without_a_client_certificate_a_server_that_wants_one_is_gone(tmp_path: Path) -> None:
    ca = Authority(tmp_path, "ca")
    async with scripted(fine, tls=server_context(ca.sign("server"), clients_of=ca)) as server, asyncio.timeout(20):
        pool = Pool(server.address, tls=tls_context(TlsFiles(ca=ca.file)))
        with pytest.raises(HostGone):
            await pool.send(ASKED)
        await pool.close()
    assert server.asked == []


def test_every_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    files = TlsFiles(tmp_path / "a.pem", tmp_path / "b.pem", tmp_path / "c.pem")
    with pytest.raises(StartFailed) as caught:
        tls_context(files)
    assert all(f"{name}.pem" in str(caught.value) for name in "abc")


def test_files_that_are_no_certificates_are_named(tmp_path: Path) -> None:
    odd = tmp_path / "odd.pem"
    odd.write_text("nothing of the kind")
    with pytest.raises(StartFailed) as caught:
        tls_context(TlsFiles(ca=odd, certificate=odd))
    assert "the CA file" in str(caught.value)
    assert "the client certificate" in str(caught.value)


@pytest.mark.parametrize("password", [None, Secret(b"hunter2")])
def test_a_key_with_another_password_is_an_error_that_does_not_tell_it(tmp_path: Path, password: Secret | None) -> None:
    mine = Authority(tmp_path, "ca").sign("client", password=b"opensesame")
    with pytest.raises(StartFailed, match="cannot be used") as caught:
        tls_context(TlsFiles(certificate=mine.certificate, key=mine.key, key_password=password))
    assert "hunter2" not in str(caught.value)


def test_a_key_of_another_certificate_is_an_error(tmp_path: Path) -> None:
    ca = Authority(tmp_path, "ca")
    one, other = ca.sign("one"), ca.sign("other")
    with pytest.raises(StartFailed, match="cannot be used"):
        tls_context(TlsFiles(certificate=one.certificate, key=other.key))


def test_a_key_without_a_certificate_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="no client certificate"):
        tls_context(TlsFiles(key=Authority(tmp_path, "ca").sign("one").key))


def test_tls_files_for_a_plain_url_are_an_error(tmp_path: Path) -> None:
    ca = Authority(tmp_path, "ca")
    with pytest.raises(StartFailed, match="not https"):
        upstream("http://127.0.0.1:1/mcp", UpstreamOptions(tls=TlsFiles(ca=ca.file)))
