"""The bounds on connections hold over TLS too, where nobody can close one half of a connection."""

import asyncio
import ssl
from typing import Any, cast

import pytest
import trustme

from portside.edge.entry import STRICT_TRANSPORT
from tests.hostile.attack import dialled
from tests.hostile.pouring import WHOLE, pouring
from tests.journeys.raw import get

pytestmark = pytest.mark.anyio

CA = trustme.CA()


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


def serving_context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    CA.issue_cert("localhost").configure_cert(context)  # pyright: ignore[reportUnknownMemberType]  # no pyOpenSSL
    CA.configure_trust(context)  # pyright: ignore[reportUnknownMemberType]
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def client_context(name: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    CA.configure_trust(context)  # pyright: ignore[reportUnknownMemberType]
    if name is not None:
        CA.issue_cert(name).configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    return context


async def test_a_large_answer_arrives_whole() -> None:
    async with pouring(serving_context()) as running, dialled(running.port, client_context()) as connection:
        for _ in range(2):
            assert (await connection.ask(get("/whole"))).body == WHOLE


async def test_what_is_no_request_is_refused_and_the_refusal_can_be_read() -> None:
    async with pouring(serving_context()) as running, dialled(running.port, client_context()) as connection:
        connection.send(get("/", {"X-Long": "a" * 300_000}))
        status, headers = await connection.head()
        assert (status, headers["connection"]) == (431, "close")
        assert headers[STRICT_TRANSPORT[0].decode()] == STRICT_TRANSPORT[1].decode()


async def test_who_reads_nothing_is_dropped() -> None:
    async with pouring(serving_context()) as running, dialled(running.port, client_context()) as connection:
        cast("asyncio.Transport", connection.writer.transport).pause_reading()
        connection.send(get("/"))
        while not running.produced:
            await asyncio.sleep(0.01)
        await running.empty()
        assert max(running.produced) < 8 * 1024 * 1024


@pytest.mark.parametrize("name", ["caller@example.com", None])
async def test_the_application_is_told_of_the_client_certificate(name: str | None) -> None:
    async with pouring(serving_context()) as running, dialled(running.port, client_context(name)) as connection:
        await connection.ask(get("/whole"))
        shown = running.scopes[0]["extensions"]["tls"]["client_certificate"]
        assert bool(shown) == (name is not None)
        if name is not None:
            assert ("email", name) in shown["subjectAltName"]
