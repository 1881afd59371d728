"""State on a Redis that is reached over TLS."""

from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest
import trustme

from portside.errors import StateUnavailable
from portside.state.connect import redis_state
from tests.redis_servers import RedisServer, redis_server

pytestmark = pytest.mark.anyio

SECRETS: Final = (b"k" * 32,)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def served(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[RedisServer, Path]]:
    """A server with TLS on a port of its own, and the file that says whom to believe."""
    folder = tmp_path_factory.mktemp("tls")
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    for part in issued.cert_chain_pems:
        part.write_to_path(folder / "certificate.pem", append=True)
    authority.cert_pem.write_to_path(folder / "authority.pem")
    files = ("--tls-cert-file", folder / "certificate.pem", "--tls-key-file", folder / "key.pem")
    more = ("--tls-ca-cert-file", folder / "authority.pem", "--tls-auth-clients", "no")
    with redis_server(*map(str, (*files, *more)), is_tls=True) as server:
        yield server, folder / "authority.pem"


async def test_state_is_reached_over_tls(served: tuple[RedisServer, Path]) -> None:
    server, authority = served
    url = f"rediss://127.0.0.1:{server.tls_port}/0?ssl_ca_certs={authority}"
    async with redis_state(url, server.password, SECRETS) as state:
        assert await state.leases.acquire("n", "h", ttl_ms=1000) is not None
        assert await state.mailbox.receive("b", wait_ms=10) == []


async def test_a_server_whose_authority_is_unknown_is_unavailable(served: tuple[RedisServer, Path]) -> None:
    server, _ = served
    async with redis_state(f"rediss://127.0.0.1:{server.tls_port}", server.password, SECRETS) as state:
        with pytest.raises(StateUnavailable, match=r"(?i)certificate"):
            await state.ping()


async def test_a_server_of_another_name_is_unavailable(served: tuple[RedisServer, Path]) -> None:
    server, authority = served
    url = f"rediss://localhost:{server.tls_port}?ssl_ca_certs={authority}"
    async with redis_state(url, server.password, SECRETS) as state:
        with pytest.raises(StateUnavailable, match=r"(?i)certificate"):
            await state.ping()


async def test_a_server_without_tls_is_unavailable_by_a_url_with_it(served: tuple[RedisServer, Path]) -> None:
    server, authority = served
    url = f"rediss://127.0.0.1:{server.port}?ssl_ca_certs={authority}"
    async with redis_state(url, server.password, SECRETS) as state:
        with pytest.raises(StateUnavailable):
            await state.ping()
