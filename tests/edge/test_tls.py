"""TLS on real sockets: what is offered, who is let in, and new certificates while connections go on."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from portside.edge.tls import Tls, TlsFiles
from portside.errors import SettingsInvalid

pytestmark = pytest.mark.anyio

CA = trustme.CA(organization_name="ours")
OTHER_CA = trustme.CA(organization_name="others")


def write_pair(folder: Path, issued: trustme.LeafCert) -> None:
    (folder / "chain.pem").write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    (folder / "key.pem").write_bytes(issued.private_key_pem.bytes())
    (folder / "key.pem").chmod(0o600)


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    write_pair(tmp_path, CA.issue_cert("localhost"))
    return TlsFiles(tmp_path / "chain.pem", tmp_path / "key.pem")


@pytest.fixture
def mutual(files: TlsFiles, tmp_path: Path) -> TlsFiles:
    CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return TlsFiles(files.certificate, files.key, tmp_path / "ca.pem")


@asynccontextmanager
async def listening(tls: Tls) -> AsyncGenerator[int]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=tls.context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def trusting(change: Callable[[ssl.SSLContext], object] = lambda context: None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    CA.configure_trust(context)  # pyright: ignore[reportUnknownMemberType]  # pyOpenSSL is not installed
    change(context)
    return context


async def talk(port: int, context: ssl.SSLContext) -> ssl.SSLObject:
    """Shake hands, have one line echoed, and return what was agreed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    try:
        writer.write(b"hello\n")
        assert await asyncio.wait_for(reader.readline(), 5) == b"hello\n"
        agreed: ssl.SSLObject = writer.get_extra_info("ssl_object")
        return agreed
    finally:
        writer.close()


def at_most(version: ssl.TLSVersion) -> Callable[[ssl.SSLContext], object]:
    def change(context: ssl.SSLContext) -> None:
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = version
        context.set_ciphers("ALL:@SECLEVEL=0")

    return change


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_sound_versions_are_served(files: TlsFiles, version: ssl.TLSVersion) -> None:
    async with listening(Tls(files)) as port:
        agreed = await talk(port, trusting(at_most(version)))
    assert agreed.version() == {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_old_versions_are_refused(files: TlsFiles, version: ssl.TLSVersion) -> None:
    async with listening(Tls(files)) as port:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await talk(port, trusting(at_most(version)))


@pytest.mark.parametrize("cipher", ["AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256"])
async def test_ciphers_without_forward_secrecy_or_authentication_are_refused(files: TlsFiles, cipher: str) -> None:
    """Mozilla Server Side TLS 5.8, intermediate: ECDHE with AEAD only."""

    def change(context: ssl.SSLContext) -> None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(cipher)

    async with listening(Tls(files)) as port:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await talk(port, trusting(change))


async def test_a_new_certificate_is_shown_to_new_connections_and_old_ones_go_on(
    files: TlsFiles, tmp_path: Path
) -> None:
    tls = Tls(files)
    async with listening(tls) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting(), server_hostname="localhost")
        before = writer.get_extra_info("peercert")["serialNumber"]
        write_pair(tmp_path, CA.issue_cert("localhost"))
        assert tls.refresh()
        after = (await talk(port, trusting())).getpeercert()
        writer.write(b"still here\n")
        assert await reader.readline() == b"still here\n"
        writer.close()
    assert after is not None
    assert after["serialNumber"] != before


async def test_a_half_written_pair_is_not_taken(files: TlsFiles, tmp_path: Path) -> None:
    tls = Tls(files)
    (tmp_path / "chain.pem").write_bytes(CA.issue_cert("localhost").cert_chain_pems[0].bytes())
    async with listening(tls) as port:
        assert not tls.refresh()
        await talk(port, trusting())
        write_pair(tmp_path, CA.issue_cert("localhost"))
        assert tls.refresh()
        assert not tls.refresh()
        await talk(port, trusting())


async def test_a_hundred_reloads_under_load_lose_no_handshake(files: TlsFiles, tmp_path: Path) -> None:
    tls = Tls(files)
    pairs = [CA.issue_cert("localhost") for _ in range(5)]
    is_over = asyncio.Event()

    async def load(port: int) -> int:
        count = 0
        while not is_over.is_set():
            await talk(port, trusting())
            count += 1
        return count

    async with listening(tls) as port:
        clients = [asyncio.create_task(load(port)) for _ in range(4)]
        for number in range(100):
            write_pair(tmp_path, pairs[number % len(pairs)])
            assert tls.refresh()
            await talk(port, trusting())
        is_over.set()
        assert min(await asyncio.gather(*clients)) > 0


def with_certificate(issued: trustme.LeafCert) -> ssl.SSLContext:
    def change(context: ssl.SSLContext) -> None:
        issued.configure_cert(context)  # pyright: ignore[reportUnknownMemberType]  # pyOpenSSL is not installed

    return trusting(change)


async def test_a_client_with_a_certificate_of_ours_is_let_in(mutual: TlsFiles) -> None:
    async with listening(Tls(mutual)) as port:
        await talk(port, with_certificate(CA.issue_cert("caller@example.com")))


def expired() -> trustme.LeafCert:
    return CA.issue_cert("old@example.com", not_after=datetime.now(UTC) - timedelta(days=1))


def not_yet() -> trustme.LeafCert:
    now = datetime.now(UTC)
    return CA.issue_cert("new@example.com", not_before=now + timedelta(days=1), not_after=now + timedelta(days=2))


@pytest.mark.parametrize(
    "context",
    [
        trusting,
        lambda: with_certificate(OTHER_CA.issue_cert("caller@example.com")),
        lambda: with_certificate(trustme.CA(organization_name="ours").issue_cert("caller@example.com")),
        lambda: with_certificate(OTHER_CA.create_child_ca().issue_cert("caller@example.com")),
        lambda: with_certificate(expired()),
        lambda: with_certificate(not_yet()),
    ],
    ids=["none", "other authority", "same name, other key", "other chain", "expired", "not yet valid"],
)
async def test_a_client_without_a_sound_certificate_is_not(
    mutual: TlsFiles, context: Callable[[], ssl.SSLContext]
) -> None:
    async with listening(Tls(mutual)) as port:
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            await talk(port, context())


async def test_a_removed_authority_is_not_believed_any_more(mutual: TlsFiles, tmp_path: Path) -> None:
    tls = Tls(mutual)
    mine = with_certificate(CA.issue_cert("caller@example.com"))
    async with listening(tls) as port:
        await talk(port, mine)
        OTHER_CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        assert tls.refresh()
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            await talk(port, mine)


async def test_where_certificates_are_optional_none_is_fine_and_a_wrong_one_is_not(mutual: TlsFiles) -> None:
    async with listening(Tls(mutual, clients="optional")) as port:
        await talk(port, trusting())
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            await talk(port, with_certificate(OTHER_CA.issue_cert("caller@example.com")))


def test_every_file_that_cannot_be_used_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        Tls(TlsFiles(tmp_path / "no.pem", tmp_path / "none.pem", tmp_path))
    assert [problem.name.partition("=")[0] for problem in caught.value.problems] == [
        "SSL_CERT_PATH",
        "SSL_KEY_PATH",
        "SSL_CA_PATH",
    ]


def test_a_key_of_another_certificate_is_refused(files: TlsFiles, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(CA.issue_cert("localhost").private_key_pem.bytes())
    with pytest.raises(SettingsInvalid, match="its own key"):
        Tls(files)


def test_a_key_that_everybody_can_read_is_refused_in_production(files: TlsFiles) -> None:
    files.key.chmod(0o644)
    with pytest.raises(SettingsInvalid, match="can be read by everybody"):
        Tls(files)
    Tls(files, is_strict=False)
