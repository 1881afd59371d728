"""State on a Redis that is reached over TLS."""

from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest
import trustme

from portside.errors import StateUnavailable
from portside.state.connect import redis_state
from tests.processes import free_port
from tests.redis_servers import RedisServer, Settings, redis_server

pytestmark = pytest.mark.anyio

SECRETS: Final = (b"k" * 32,)

Served = tuple[RedisServer, int, Path]
"""A server, its port with TLS, and the file that says whom to believe."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def served(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    folder = tmp_path_factory.mktemp("tls")
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    for part in issued.cert_chain_pems:
        part.write_to_path(folder / "certificate.pem", append=True)
    authority.cert_pem.write_to_path(folder / "authority.pem")
    port = free_port()
    settings: Settings = {
        "tls-port": port,
        "tls-cert-file": str(folder / "certificate.pem"),
        "tls-key-file": str(folder / "key.pem"),
        "tls-ca-cert-file": str(folder / "authority.pem"),
        "tls-auth-clients": "no",
    }
    with redis_server(settings) as server:
        yield server, port, folder / "authority.pem"


async def test_state_is_reached_over_tls(served: Served) -> None:
    server, port, authority = served
    url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={authority}"
    async with redis_state(url, server.password, SECRETS) as state:
        assert await state.leases.acquire("n", "h", ttl_ms=1000) is not None
        assert await state.mailbox.receive("b", wait_ms=10) == []


async def test_a_server_whose_authority_is_unknown_is_unavailable(served: Served) -> None:
    server, port, _ = served
    async with redis_state(f"rediss://127.0.0.1:{port}", server.password, SECRETS) as state:
        with pytest.raises(StateUnavailable, match=r"(?i)certificate"):
            await state.ping()


async def test_a_server_of_another_name_is_unavailable(served: Served) -> None:
    server, port, authority = served
    url = f"rediss://localhost:{port}?ssl_ca_certs={authority}"
    async with redis_state(url, server.password, SECRETS) as state:
        with pytest.raises(StateUnavailable, match=r"(?i)certificate"):
            await state.ping()


async def test_a_server_without_tls_is_unavailable_by_a_url_with_it(served: Served) -> None:
    server, _, authority = served
    url = f"rediss://127.0.0.1:{server.port}?ssl_ca_certs={authority}"
    async with redis_state(url, server.password, SECRETS) as state:
        with pytest.raises(StateUnavailable):
            await state.ping()
