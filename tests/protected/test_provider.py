"""The way of a client from a refusal to a token and back, with identity providers that are processes of their own."""

import asyncio
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.auth import grammar
from tests.faults.clocks import faster
from tests.journeys.raw import get
from tests.processes import Serving, free_port
from tests.protected.made import PUBLIC, RESOURCE, Deployment, ask, call, modern, text_of, unforeseen
from tests.protected.provider import Provider, providing

pytestmark = pytest.mark.anyio

TIMES: Final = 5
"""How much faster time passes for the server where a test waits for what it does only later."""


@pytest.fixture
def deployed(tmp_path: Path) -> Generator[tuple[Serving, Provider]]:
    with providing(free_port()) as provider:
        accepted = {"PORTSIDE_AUTH_ISSUERS": provider.issuer}
        with Deployment(tmp_path).serving(environment=accepted) as server:
            yield server, provider
            assert unforeseen(server) == []


async def test_a_client_finds_the_provider_logs_its_user_in_and_calls(deployed: tuple[Serving, Provider]) -> None:
    """Spec: MCP 2026-07-28, Authorization Flow Steps; the provider is told its client's id is what tokens are for."""
    server, provider = deployed
    refused = await ask(server.port, modern("tools/list"))
    challenge = grammar.parse(refused.headers["www-authenticate"])
    document = (await ask(server.port, get(challenge["resource_metadata"].removeprefix(PUBLIC)))).json
    assert document["authorization_servers"] == [provider.issuer]
    assert provider.discover()["issuer"] == provider.issuer
    tokens = await asyncio.to_thread(provider.log_in, "ann", document["resource"])
    assert text_of(await ask(server.port, call("echo", {"text": "x"}, token=tokens["id_token"]))) == "x"

    other = await asyncio.to_thread(provider.log_in, "ann", "https://other.example/mcp")
    head, body, signature = str(tokens["id_token"]).split(".")
    for wrong in (
        str(tokens["access_token"]),  # opaque, and nobody to ask about it
        str(other["id_token"]),
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{head}.{str(other['id_token']).split('.')[1]}.{signature}",
    ):
        assert (await ask(server.port, modern("tools/list", token=wrong))).status == 401


@pytest.mark.timing
async def test_a_provider_that_is_down_or_comes_back_with_other_keys_shuts_nobody_out(tmp_path: Path) -> None:
    """Ours: this provider names no key in its tokens, so its next key shows in that no known one fits."""
    place = free_port()
    with ExitStack() as stack:
        with providing(place) as provider:
            accepted = {"PORTSIDE_AUTH_ISSUERS": provider.issuer, **faster(TIMES)}
            server = stack.enter_context(Deployment(tmp_path).serving(environment=accepted))
            users = ("ann", "bob")
            tokens = [str((await asyncio.to_thread(provider.log_in, one, RESOURCE))["id_token"]) for one in users]
            assert (await ask(server.port, modern("tools/list", token=tokens[0]))).status == 200
        for token in tokens:  # one that was judged before, and one that was not
            assert (await ask(server.port, modern("tools/list", token=token))).status == 200
        assert (await ask(server.port, get("/ready"))).status == 200
        with providing(place) as provider:
            after = str((await asyncio.to_thread(provider.log_in, "ann", RESOURCE))["id_token"])
            # Half a minute after the last fetch of keys there may be another, by the server's clock.
            async with asyncio.timeout(40 / TIMES):
                while (status := (await ask(server.port, modern("tools/list", token=after))).status) != 200:
                    assert status == 401
                    await asyncio.sleep(0.2)
            assert (await ask(server.port, modern("tools/list", token=tokens[0]))).status == 200
