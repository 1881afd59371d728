"""Limits of single tools and of calls at the same time, through the real server."""

import asyncio
from collections.abc import Generator
from contextlib import AsyncExitStack
from typing import Any, Final

import pytest

from tests.journeys.raw import Reply, post
from tests.processes import Serving
from tests.protected.made import Deployment, ask, call, connected, legacy, open_session, text_of, unforeseen

pytestmark = pytest.mark.anyio

TOO_MANY: Final = -31006
BATCHES: Final = "2025-03-26"
LIMITS: Final = {"PORTSIDE_TOOL_LIMITS": "remove=3,no_such_tool=1", "PORTSIDE_MAX_CALLS": "2"}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Serving, Deployment]]:
    deployment = Deployment(tmp_path_factory.mktemp("calls"))
    with deployment.serving(environment=LIMITS) as server:
        yield server, deployment
        assert unforeseen(server) == []


def refused(reply: Reply, id: int | str) -> bool:
    """Say whether a call was refused as one too many; checks what goes with it."""
    if reply.status != 429:
        return False
    assert reply.json["id"] == id
    assert reply.json["error"]["code"] == TOO_MANY
    assert int(reply.headers["retry-after"]) >= 1
    return True


async def test_a_tools_own_limit_holds_in_both_eras_together_and_for_that_tool_alone(
    deployed: tuple[Serving, Deployment],
) -> None:
    server, deployment = deployed
    token = deployment.token("ann")
    session = await open_session(server.port, token)
    remove: dict[str, Any] = {"name": "remove", "arguments": {"text": "x"}}
    replies = [
        await ask(server.port, call("remove", {"text": "x"}, token=token, id="m1")),
        await ask(server.port, legacy("tools/call", remove, session=session, id="l1")),
        await ask(server.port, call("remove", {"text": "x"}, token=token, id="m2")),
    ]
    assert [text_of(reply) for reply in replies] == ["removed x"] * 3
    assert refused(await ask(server.port, call("remove", {"text": "x"}, token=token, id="m3")), "m3")
    assert refused(await ask(server.port, legacy("tools/call", remove, session=session, id="l2")), "l2")
    assert text_of(await ask(server.port, call("echo", {"text": "x"}, token=token))) == "x"
    assert text_of(await ask(server.port, call("remove", {"text": "x"}, token=deployment.token("bob")))) == "removed x"


async def test_no_header_and_no_batch_gets_around_a_tools_limit(deployed: tuple[Serving, Deployment]) -> None:
    server, deployment = deployed
    token = deployment.token("cleverly")
    session = await open_session(server.port, token, BATCHES)
    remove: dict[str, Any] = {"name": "remove", "arguments": {"text": "x"}}
    batch = [{"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": remove} for number in range(4)]
    assert (await ask(server.port, post(batch, session))).status == 429
    lying = call("remove", {"text": "x"}, token=token, headers={"Mcp-Name": "echo"})
    statuses = [(await ask(server.port, lying)).status for _ in range(5)]
    assert set(statuses) <= {400, 429}
    assert statuses[-1] == 429
    other = call("echo", {"text": "x"}, token=token, headers={"Mcp-Name": "remove"})
    reply = await ask(server.port, other)
    assert (reply.status, reply.json["error"]["code"]) == (400, -32020)


async def test_a_tools_limit_counts_names_that_are_no_tools_too(deployed: tuple[Serving, Deployment]) -> None:
    server, deployment = deployed
    token = deployment.token("guessing")
    replies = [await ask(server.port, call("no_such_tool", {}, token=token, id=number)) for number in range(3)]
    assert [refused(reply, number) for number, reply in enumerate(replies)] == [False, True, True]


async def test_calls_at_once_are_bounded_and_each_gives_its_place_back(deployed: tuple[Serving, Deployment]) -> None:
    server, deployment = deployed
    token, other = deployment.token("busy"), deployment.token("idle")
    async with AsyncExitStack() as stack:
        held = [await stack.enter_async_context(connected(server.port)) for _ in range(2)]
        for connection in held:
            connection.send(call("wait", {"seconds": 60}, token=token))
        reply = await _until_refused(server, token)
        assert refused(reply, 1)
        assert text_of(await ask(server.port, call("echo", {"text": "x"}, token=other))) == "x"
        assert (await ask(server.port, call("fail", {"text": "x"}, token=token))).status == 429
    # Whoever leaves gives back what it held, however its call ended.
    assert text_of(await _until_admitted(server, token)) == "x"
    for tool in ("fail", "crash", "no_such"):
        for number in range(5):
            reply = await ask(server.port, call(tool, {"text": "x"}, token=token, id=number))
            assert not refused(reply, number), tool
    assert [text_of(reply) for reply in await asyncio.gather(*_two(server, token))] == ["waited", "waited"]


async def test_a_legacy_call_holds_its_place_until_it_ends_or_is_cancelled(
    deployed: tuple[Serving, Deployment],
) -> None:
    server, deployment = deployed
    token = deployment.token("legacy-busy")
    session = await open_session(server.port, token)
    waiting: dict[str, Any] = {"name": "wait", "arguments": {"seconds": 60}}
    async with connected(server.port) as one, connected(server.port) as two:
        one.send(legacy("tools/call", waiting, session=session, id="a"))
        two.send(legacy("tools/call", waiting, session=session, id="b"))
        assert refused(await _until_refused(server, token), 1)
        for id in ("a", "b"):
            cancel = legacy("notifications/cancelled", {"requestId": id}, session=session, id=None)
            assert (await ask(server.port, cancel)).status == 202
        assert text_of(await _until_admitted(server, token)) == "x"


async def test_a_batch_takes_a_place_for_each_of_its_calls(deployed: tuple[Serving, Deployment]) -> None:
    server, deployment = deployed
    token = deployment.token("in-bulk")
    session = await open_session(server.port, token, BATCHES)
    echo: dict[str, Any] = {"name": "echo", "arguments": {"text": "x"}}

    def batch(count: int) -> bytes:
        calls = [{"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": echo} for number in range(count)]
        return post(calls, session)

    for _ in range(3):
        assert (await ask(server.port, batch(3))).status == 429
        reply = await ask(server.port, batch(2))
        assert [one["id"] for one in reply.json] == [0, 1]


def _two(server: Serving, token: str) -> list[Any]:
    return [ask(server.port, call("wait", {"seconds": 0.05}, token=token)) for _ in range(2)]


async def _until_refused(server: Serving, token: str) -> Reply:
    """Return the first refusal: until then the calls that were sent before are still on their way."""
    async with asyncio.timeout(10):
        while (reply := await ask(server.port, call("echo", {"text": "x"}, token=token))).status != 429:
            pass
        return reply


async def _until_admitted(server: Serving, token: str) -> Reply:
    async with asyncio.timeout(10):
        while (reply := await ask(server.port, call("echo", {"text": "x"}, token=token))).status == 429:
            pass
        return reply
