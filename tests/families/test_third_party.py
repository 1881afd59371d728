"""Servers of other people, unchanged, from the package index: served by name to clients of both eras.

`mcp-server-calculator` is built on the official SDK v1, `math-mcp-learning-server` on fastmcp 3, with a lifespan and
three middlewares.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.families.environments import portside_of
from tests.journeys.raw import Connection, Reply, call, modern, open_session, post
from tests.processes import Serving

pytestmark = pytest.mark.anyio


@dataclass(frozen=True, slots=True)
class Story:
    """A target, a call of one of its tools, and what must be found in the result."""

    target: str
    tool: str
    arguments: dict[str, Any]
    told: str


STORIES: Final = (
    Story("mcp_server_calculator.calculator:mcp", "calculate", {"expression": "2 * (3 + 4) + sqrt(16)"}, "18.0"),
    Story("math_mcp.server:mcp", "statistics", {"numbers": [1, 2, 6], "operation": "mean"}, "of 3 numbers: 3.0"),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment that gives a server a folder of its own to write to."""
    return {"HOME": str(tmp_path_factory.mktemp("home"))}


@pytest.fixture(scope="module", params=STORIES, ids=lambda story: story.target)
def served(request: pytest.FixtureRequest, home: dict[str, str]) -> Generator[tuple[Story, Serving]]:
    """Each server behind portside."""
    with portside_of("third-party", request.param.target, settings=home) as server:
        yield request.param, server


@pytest.fixture
def math(home: dict[str, str]) -> Generator[Serving]:
    """The fastmcp 3 server behind portside."""
    with portside_of("third-party", STORIES[1].target, settings=home) as server:
        yield server


def answer(reply: Reply) -> dict[str, Any]:
    """Return the result that ends a reply, be it JSON or a stream."""
    assert reply.status == 200, reply.body
    return reply.messages[-1]["result"]


def text(result: dict[str, Any]) -> str:
    assert result.get("isError") is not True, result
    return "".join(block["text"] for block in result["content"])


async def test_legacy_client_gets_the_right_result(served: tuple[Story, Serving]) -> None:
    story, server = served
    connection, headers = await open_session(server.port)
    params = {"name": story.tool, "arguments": story.arguments}
    try:
        listed = answer(await connection.ask(post(_request("tools/list", {}), headers)))
        result = answer(await connection.ask(post(_request("tools/call", params), headers)))
    finally:
        connection.close()
    assert story.tool in [tool["name"] for tool in listed["tools"]]
    assert story.told in text(result)


async def test_modern_client_gets_the_right_result(served: tuple[Story, Serving]) -> None:
    story, server = served
    connection = await Connection.open(server.port)
    try:
        discovered = answer(await connection.ask(modern("server/discover")))
        result = answer(await connection.ask(call(story.tool, story.arguments)))
    finally:
        connection.close()
    assert discovered["supportedVersions"] == ["2026-07-28"]
    assert story.told in text(result)


async def test_tool_error_is_a_tool_error_in_both_eras(served: tuple[Story, Serving]) -> None:
    story, server = served
    connection, headers = await open_session(server.port)
    params: dict[str, Any] = {"name": story.tool, "arguments": {}}
    try:
        legacy = answer(await connection.ask(post(_request("tools/call", params), headers)))
        today = answer(await connection.ask(call(story.tool, {})))
    finally:
        connection.close()
    assert legacy["isError"] is True
    assert today["isError"] is True


async def test_what_a_legacy_client_saved_a_modern_client_finds(math: Serving) -> None:
    """Ours: clients of both eras reach one server, and what it keeps."""
    connection, headers = await open_session(math.port)
    saving = {"name": "save_calculation", "arguments": {"name": "answer", "expression": "6 * 7", "result": 42}}
    try:
        saved = answer(await connection.ask(post(_request("tools/call", saving), headers)))
        found = answer(await connection.ask(call("load_variable", {"name": "answer"})))
    finally:
        connection.close()
    assert "answer" in text(saved)
    assert "42" in text(found)


def _request(method: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
