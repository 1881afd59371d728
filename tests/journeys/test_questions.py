"""A tool that asks the user back reaches clients of the other era too.

Source: the translation contract; MCP 2025-11-25 elicitation/create, MCP 2026-07-28 multi-round-trip results.
"""

from collections.abc import Generator
from typing import Final

import pytest
from mcp import Client
from mcp.client import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult, TextContent

from tests.processes import Serving, portside

TIMEOUT_S: Final = 10

ANSWERS: Final[dict[str, str | int | float | bool | list[str] | None]] = {
    "username": "ada",
    "email": "ada@example.org",
    "name": "Ada",
    "color": "blue",
    "context": "tea",
}


@pytest.fixture(scope="module", params=["fixture_v2", "fixture_lowlevel"])
def server(request: pytest.FixtureRequest) -> Generator[Serving]:
    """Both kinds of SDK v2 object."""
    with portside(f"tests/conformance/{request.param}.py:mcp") as server:
        yield server


async def answer(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
    """Fill in the fields that are asked for."""
    assert params.mode == "form"
    asked = params.requested_schema["properties"]
    return ElicitResult(action="accept", content={name: ANSWERS[name] for name in asked})


def modern(server: Serving) -> Client:
    """Return a client that starts in the new era."""
    return Client(server.url, elicitation_callback=answer, read_timeout_seconds=TIMEOUT_S)


def legacy(server: Serving) -> Client:
    """Return a client that opens a session."""
    return Client(server.url, mode="legacy", elicitation_callback=answer, read_timeout_seconds=TIMEOUT_S)


async def ask(client: Client, tool: str, **arguments: str) -> str:
    """Call a tool and return its text."""
    result = await client.call_tool(tool, arguments)
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


@pytest.mark.anyio
async def test_old_style_question_reaches_a_new_era_client(server: Serving) -> None:
    """The tool awaits `elicitation/create` in the middle of a call that has no channel for it."""
    async with modern(server) as client:
        said = await ask(client, "test_elicitation", message="Who are you?")

    assert "action=accept" in said
    assert "ada@example.org" in said


@pytest.mark.anyio
async def test_new_style_question_reaches_an_old_era_session(server: Serving) -> None:
    """The tool returns an input_required result, which the session's revision does not know."""
    async with legacy(server) as client:
        said = await ask(client, "test_input_required_result_elicitation")

    assert said == "Hello, Ada!"


@pytest.mark.anyio
async def test_state_is_carried_over_the_rounds_of_an_old_era_session(server: Serving) -> None:
    """Two rounds of questions; the second depends on what the first left in requestState."""
    async with legacy(server) as client:
        said = await ask(client, "test_input_required_result_multi_round")

    assert said == "Ada likes blue"


@pytest.mark.anyio
async def test_prompt_that_asks_works_on_an_old_era_session(server: Serving) -> None:
    """prompts/get may ask as well."""
    async with legacy(server) as client:
        prompt = await client.get_prompt("test_input_required_result_prompt")

    assert isinstance(prompt.messages[0].content, TextContent)
    assert prompt.messages[0].content.text == "Use this context: tea"
