"""Streams whose token expires or whose key is revoked while they are open, at a real server."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

from tests.faults.clocks import faster
from tests.journeys.raw import Connection, get
from tests.processes import ROOT, Serving
from tests.protected.made import Deployment, ask, call, connected, modern, open_session, text_of, unforeseen

pytestmark = pytest.mark.anyio

LIFE_S: Final = 2
PATIENCE_S: Final = 10.0
TIMES: Final = 5
"""How much faster time passes for the server where a test waits for what happens only later."""

REVOKED_S: Final = 40.0
"""A key that was found is believed for 25 s, and whoever streams is looked at every five; by the server's clock."""


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Serving, Deployment]]:
    """A server without tolerance for clocks that differ, which takes API keys too; its database is there before it."""
    deployment = Deployment(tmp_path_factory.mktemp("lapsed"))
    keys(deployment, "list")
    strict = {"PORTSIDE_AUTH_SKEW_MS": "0", "PORTSIDE_API_KEYS": "true"}
    with deployment.serving(environment=strict) as server:
        yield server, deployment
        assert unforeseen(server) == []


@pytest.fixture(scope="module")
def hurried(deployed: tuple[Serving, Deployment]) -> Generator[tuple[Serving, Deployment]]:
    """Another server of the deployment, for which time passes faster."""
    _, deployment = deployed
    with deployment.serving(environment={"PORTSIDE_API_KEYS": "true", **faster(TIMES)}) as server:
        yield server, deployment
        assert unforeseen(server) == []


def listen(token: str) -> bytes:
    return modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, token=token)


async def read_to_its_end(connection: Connection, within_s: float) -> None:
    """Read a stream that has begun; return where it ends as a response does."""
    async with asyncio.timeout(within_s):
        while await connection.chunk():
            pass


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_stream_ends_when_its_token_does(deployed: tuple[Serving, Deployment], era: str) -> None:
    """Ours: the connection stays, and says 401 to the same token and 200 to a fresh one."""
    server, deployment = deployed
    token = deployment.token("ann", seconds=LIFE_S)
    if era == "legacy":
        session = await open_session(server.port, token)
        request = get("/mcp", {**session, "Accept": "text/event-stream"})
    else:
        request = listen(token)
    async with connected(server.port) as connection:
        connection.send(request)
        status, headers = await connection.head()
        assert (status, headers["content-type"]) == (200, "text/event-stream")
        await read_to_its_end(connection, PATIENCE_S)
        assert (await connection.ask(modern("tools/list", token=token))).status == 401
        assert (await connection.ask(modern("tools/list", token=deployment.token("ann")))).status == 200


async def test_a_stream_of_a_token_that_lives_goes_on(hurried: tuple[Serving, Deployment]) -> None:
    server, deployment = hurried
    async with connected(server.port) as connection:
        connection.send(listen(deployment.token("ann")))
        assert (await connection.head())[0] == 200
        with pytest.raises(TimeoutError):
            await read_to_its_end(connection, (LIFE_S + 5) / TIMES)


async def test_a_call_that_was_let_in_is_answered_though_its_token_ends_meanwhile(
    deployed: tuple[Serving, Deployment],
) -> None:
    server, deployment = deployed
    token = deployment.token("ann", seconds=LIFE_S)
    answer = await ask(server.port, call("wait", {"seconds": LIFE_S + 1}, token=token))
    assert text_of(answer) == "waited"
    assert (await ask(server.port, modern("tools/list", token=token))).status == 401


@pytest.mark.timing
async def test_a_stream_ends_when_its_key_is_revoked(hurried: tuple[Serving, Deployment]) -> None:
    server, deployment = hurried
    key = json.loads(await asyncio.to_thread(keys, deployment, "create", "--name", "ci", "--json"))
    async with connected(server.port) as connection:
        connection.send(listen(key["key"]))
        assert (await connection.head())[0] == 200
        await asyncio.to_thread(keys, deployment, "revoke", key["id"])
        await read_to_its_end(connection, REVOKED_S / TIMES)
        assert (await connection.ask(modern("tools/list", token=key["key"]))).status == 401


def keys(deployment: Deployment, *arguments: str) -> str:
    """Run `portside keys` beside the server and return what it printed."""
    command = [sys.executable, "-m", "portside", "keys", *arguments]
    environment = {"PATH": str(Path(sys.executable).parent), **deployment.environment()}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout
