"""Idempotency keys as clients of both eras see them, in front of a real SDK server (docs/idempotency.md)."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest
import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import ToolAnnotations

from portside.clock import SystemClock
from portside.gateway.endpoint import Gateway
from portside.gateway.options import Options
from portside.hosting.python.v2 import PythonV2Host
from portside.observe.record import Record
from portside.state.connect import State, memory_state
from portside.wire import classify, idempotency, refusal
from tests.gateway import wired
from tests.gateway.servers import Gate, build
from tests.gateway.wired import Client, Response, Wired, text
from tests.processes import free_port

pytestmark = pytest.mark.anyio

MAX_BYTES = 2000
KEY = {b"idempotency-key": b'"k 1"'}
META = {idempotency.META: "k 1"}


class Till:
    """Counts what the tools of a server did."""

    def __init__(self) -> None:
        self.sold: list[str] = []
        self.keys: list[Any] = []


def shop(gate: Gate | None = None) -> tuple[MCPServer[Any], Till]:
    server, till = build(gate), Till()

    @server.tool()
    async def sell(what: str) -> str:
        till.sold.append(what)
        return f"{what} {len(till.sold)}"

    @server.tool()
    async def sell_aloud(what: str, ctx: Context[Any, Any]) -> str:
        till.keys.append((ctx.request_context.meta or {}).get(idempotency.META))
        await ctx.report_progress(1, 2)
        return await sell(what)

    @server.tool()
    async def spoil(what: str) -> str:
        till.sold.append(what)
        raise ValueError("spoilt")

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    async def look() -> str:
        till.sold.append("look")
        return f"seen {len(till.sold)}"

    return server, till


@asynccontextmanager
async def fronted(*servers: MCPServer[Any], options: Options | None = None) -> AsyncGenerator[list[Wired]]:
    """Yield clients of one replica in front of each server, on one state; nothing is left running afterwards."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        state = await stack.enter_async_context(memory_state(clock))
        shared = replace(state, is_shared=len(servers) > 1)
        options = replace(options or Options(), max_ledger_bytes=MAX_BYTES)
        yield [await stack.enter_async_context(_replica(one, shared, options)) for one in servers]


@asynccontextmanager
async def _replica(server: MCPServer[Any], state: State, options: Options) -> AsyncGenerator[Wired]:
    async with wired.fronted(PythonV2Host(server), options, state=state, secrets=[bytes(range(32))]) as clients:
        yield clients


def keyed(client: Client, tool: str, arguments: dict[str, Any], *, id: int = 1, key: str = "k 1") -> Response:
    """Call a tool with a key in a session."""
    params = {"name": tool, "arguments": arguments, "_meta": {idempotency.META: key}}
    return client.request("tools/call", params, id=id)


@pytest.mark.parametrize("tool", ["sell", "sell_aloud"])
async def test_a_call_with_a_key_is_made_once_by_either_replica(tool: str) -> None:
    server, till = shop()
    async with fronted(server, server) as (first, second):
        replies = [
            await first.call(tool, {"what": "tea"}, headers=KEY, id=1).until_over(),
            await first.call(tool, {"what": "tea"}, meta=META, id="two").until_over(),
            await second.call(
                tool, {"what": "tea"}, headers={b"idempotency-key": b'"k 1"'} | KEY, meta=META
            ).until_over(),
        ]
    assert [text(reply.messages[-1]) for reply in replies] == ["tea 1"] * 3
    assert [reply.messages[-1]["id"] for reply in replies] == [1, "two", 1]
    assert till.sold == ["tea"]
    assert till.keys == ([] if tool == "sell" else ["k 1"])


async def test_a_session_gets_what_another_era_was_told() -> None:
    server, till = shop()
    async with fronted(server, server) as (first, second):
        session = await first.session()
        assert text((await keyed(session, "sell", {"what": "tea"}).until_over()).messages[-1]) == "tea 1"
        other = await second.session("2025-06-18")
        assert text((await keyed(other, "sell", {"what": "tea"}).until_over()).messages[-1]) == "tea 1"
        modern = (await second.call("sell", {"what": "tea"}, headers=KEY).until_over()).json
    assert (text(modern), modern["result"]["resultType"]) == ("tea 1", "complete")
    assert till.sold == ["tea"]


async def test_errors_of_a_tool_are_told_again() -> None:
    server, till = shop()
    async with fronted(server) as (clients,):
        replies = [(await clients.call("spoil", {"what": "tea"}, headers=KEY).until_over()).json for _ in range(2)]
    assert replies[0] == replies[1]
    assert replies[0]["result"]["isError"] is True
    assert till.sold == ["tea"]


async def test_another_call_under_the_key_is_422() -> None:
    server, till = shop()
    async with fronted(server, server) as (first, second):
        await first.call("sell", {"what": "tea"}, headers=KEY).until_over()
        for clients in (first, second):
            refused = await clients.call("sell", {"what": "milk"}, headers=KEY).until_over()
            assert (refused.status, refused.json["error"]["code"]) == (422, refusal.KEY_REUSED)
        other = await first.call("sell", {"what": "milk"}, headers=KEY, principal="bob").until_over()
    assert text(other.json) == "milk 2"
    assert till.sold == ["tea", "milk"]


@pytest.mark.parametrize(
    ("headers", "meta"),
    [({b"idempotency-key": b'"other"'}, META), ({b"idempotency-key": b"a b"}, {}), (KEY, {idempotency.META: 5})],
)
async def test_keys_that_disagree_or_are_none_are_400(headers: dict[bytes, bytes], meta: dict[str, Any]) -> None:
    server, till = shop()
    async with fronted(server) as (clients,):
        refused = await clients.call("sell", {"what": "tea"}, headers=headers, meta=meta).until_over()
    assert (refused.status, refused.json["error"]["code"], refused.json["id"]) == (400, refusal.INVALID_REQUEST, 1)
    assert till.sold == []


@pytest.mark.parametrize("tool", ["hold", "hold_aloud"])
async def test_a_modern_client_that_leaves_stops_the_output_and_not_the_tool(tool: str) -> None:
    gate = Gate()
    server, _ = shop(gate)
    async with fronted(server, server) as (first, second):
        response = first.call(tool, headers=KEY)
        await gate.entered.wait()
        response.leave()
        again = second.call(tool, headers=KEY)
        await asyncio.wait(first.tasks, timeout=5)
        assert not first.tasks
        gate.opened.set()
        assert text((await again.until_over()).messages[-1]) == "held"
        assert await gate.outcome == "finished"


async def test_a_legacy_client_that_cancels_gets_its_way_and_the_key_remembers() -> None:
    gate = Gate()
    server, _ = shop(gate)
    async with fronted(server) as (clients,):
        session = await clients.session()
        response = keyed(session, "hold", {}, id=9)
        await gate.entered.wait()
        session.post({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}})
        await response.until_over()
        assert await gate.outcome == "cancelled"
        again = await keyed(session, "hold", {}, id=10).until_over()
    assert again.messages[-1]["error"]["code"] == refusal.OUTCOME_UNKNOWN


async def test_a_result_too_large_to_keep_reaches_who_waited_for_it() -> None:
    server, _ = shop()
    async with fronted(server) as (clients,):
        first, again = [
            (await clients.call("big", {"size": MAX_BYTES}, headers=KEY).until_over()).json for _ in range(2)
        ]
    assert len(text(first)) == MAX_BYTES
    assert again["error"]["code"] == refusal.RESULT_TOO_LARGE


async def test_a_call_that_asked_its_user_goes_on_and_is_told_again() -> None:
    server, _ = shop()
    async with fronted(server) as (clients,):
        asked = (await clients.call("greet", headers=KEY).until_over()).messages[-1]["result"]
        for name in ("Ann", "Lee"):
            [question] = asked["inputRequests"]
            answers = {question: {"action": "accept", "content": {"name": name}}}
            retry = {"requestState": asked["requestState"], "inputResponses": answers}
            reply = (await clients.call("greet", headers=KEY, params=retry).until_over()).messages[-1]
            asked = reply["result"]
        again = (await clients.call("greet", headers=KEY).until_over()).messages[-1]
    assert text(reply) == text(again) == "hello Ann Lee"


async def test_a_question_whose_answer_was_lost_on_its_way_is_asked_again() -> None:
    server, _ = shop()
    async with fronted(server) as (clients,):
        await clients.call("ask_both", headers=KEY, id=1).until_over()
        asked = (await clients.call("ask_both", headers=KEY, id=2).until_over()).messages[-1]["result"]
        assert len(asked["inputRequests"]) == 2
        answers = {key: {"action": "accept", "content": {"name": key}} for key in asked["inputRequests"]}
        retry = {"requestState": asked["requestState"], "inputResponses": answers}
        reply = await clients.call("ask_both", headers=KEY, params=retry, id=3).until_over()
    assert sorted(text(reply.messages[-1]).split()) == sorted(answers)


async def test_a_modern_tool_that_asks_goes_on_under_its_key_in_both_eras() -> None:
    server, _ = shop()
    async with fronted(server, server) as (first, second):
        asked = (await first.call("modern_greet", headers=KEY).until_over()).json["result"]
        answers = {"who": {"action": "accept", "content": {"name": "Ann"}}}
        retry = {"requestState": asked["requestState"], "inputResponses": answers}
        end = await first.call("modern_greet", headers=KEY, params=retry).until_over()
        again = await second.call("modern_greet", headers=KEY).until_over()
        assert text(end.json) == text(again.json) == "round one: accept Ann"

        session = await first.session()
        response = keyed(session, "modern_greet", {}, key="k2")
        [question] = await response.until(1)
        answer = {"jsonrpc": "2.0", "id": question["id"], "result": answers["who"]}
        await session.post(answer).until_over()
        assert text((await response.until_over()).messages[-1]) == "round one: accept Ann"
        told = await keyed(session, "modern_greet", {}, key="k2", id=2).until_over()
        assert text(told.messages[-1]) == "round one: accept Ann"


async def test_a_call_that_only_reads_is_made_again_where_its_replica_ended() -> None:
    server, till = shop()
    async with fronted(server, server) as (first, second):
        assert text((await first.call("look", headers=KEY).until_over()).json) == "seen 1"
        assert text((await second.call("look", headers=KEY).until_over()).json) == "seen 1"
    assert till.sold == ["look"]


# -- over sockets ---------------------------------------------------------------------------------


@asynccontextmanager
async def listening(gateway: Gateway) -> AsyncGenerator[int]:
    """Serve a gateway on a port of the loopback for the block."""

    async def app(
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        scope["portside.record"], scope["portside.body"] = Record(), body
        await gateway(scope, receive, send)

    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, lifespan="off", log_level="error"))
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0)
    try:
        yield port
    finally:
        server.should_exit = True
        await asyncio.wait([serving], timeout=10)


def posted(tool: str) -> bytes:
    """Return a modern call of a tool with a key, as it goes over a connection that ends with it."""
    meta: dict[str, object] = {classify.META_REVISION: "2026-07-28", classify.META_CAPABILITIES: {}}
    params: dict[str, object] = {"name": tool, "arguments": {}, "_meta": meta}
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    head = (
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n"
        "accept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\n"
        f'mcp-method: tools/call\r\nmcp-name: {tool}\r\nidempotency-key: "k 1"\r\ncontent-length: {len(body)}\r\n\r\n'
    )
    return head.encode() + body


async def test_a_connection_that_is_cut_does_not_stop_the_tool_and_another_gets_its_outcome() -> None:
    gate = Gate()
    server, _ = shop(gate)
    async with fronted(server) as (clients,):
        gateway = clients.gateway
        async with listening(gateway) as port, asyncio.timeout(10):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(posted("hold"))
            await gate.entered.wait()
            writer.transport.abort()
            while gateway.once.unattended == 0:
                await asyncio.sleep(0)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(posted("hold"))
            await writer.drain()
            while gateway.once.unattended == 1:
                await asyncio.sleep(0)
            gate.opened.set()
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"held"' in answer
    assert await gate.outcome == "finished"
