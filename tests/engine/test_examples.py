"""Both examples are deployed by the commands of their README, called by an official client, and taken down."""

import json
import ssl
from typing import Final

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.engine.engine import Engine
from tests.engine.readme import Reader, reader
from tests.installed import require_tools

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900)]

CALLS: Final = {
    "notebook": ("search_notes", {"query": "failover"}, "Promote the standby"),
    "everything": ("echo", {"message": "by HAProxy"}, "by HAProxy"),
}
SERVERS: Final = {"notebook": "notebook", "everything": "mcp-servers/everything"}


@pytest.fixture(scope="module")
def typing(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    require_tools()
    return reader(engine, tmp_path_factory.mktemp("reader"))


@pytest.mark.parametrize("name", CALLS)
async def test_the_commands_of_the_readme_deploy_an_example_and_take_it_down(typing: Reader, name: str) -> None:
    folder = f"examples/{name}"
    try:
        printed = typing.type(name, "ask", more='echo; echo "$TOKEN"')
        answer, token = printed.splitlines()[-2:]
        assert json.loads(answer.removeprefix("data: "))["result"]["serverInfo"]["name"] == SERVERS[name]
        for mode, revision in (("auto", "2026-07-28"), ("legacy", "2025-11-25")):
            assert await called(typing, name, token, mode) == revision
    finally:
        typing.type("down", folder=folder)
    label = f"label=com.docker.compose.project={name}"
    kinds = (("ps", "-aq"), ("network", "ls", "-q"), ("volume", "ls", "-q"))
    assert [typing.engine.docker(*kind, "--filter", label) for kind in kinds] == ["", "", ""]


async def called(typing: Reader, name: str, token: str, mode: str) -> str:
    """Call a tool of an example through its front door; return the revision that was spoken."""
    trusting = ssl.create_default_context(cafile=typing.repository / "examples" / name / "localhost.crt")
    url, headers = typing.with_ports("https://localhost:8443/mcp"), {"Authorization": f"Bearer {token}"}
    tool, arguments, expected = CALLS[name]
    async with (
        httpx2.AsyncClient(headers=headers, verify=trusting, timeout=30) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        result = await client.call_tool(tool, arguments)
        assert expected in str(result.content)
        return client.protocol_version
