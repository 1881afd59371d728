"""Legacy clients of a server that only knows the modern era: one made by hand, and one of the SDK v2."""

import asyncio
from typing import Any

import pytest
from mcp.server.mcpserver import Context, MCPServer

from portside.hosting.base import Back
from portside.hosting.eras import both_eras
from portside.wire import classify, message, refusal
from portside.wire.message import Message
from tests.gateway.servers import Gate, build
from tests.gateway.wired import Client, Response, text
from tests.translation.hosts import Answer, NewServer, OneEra, served, until

pytestmark = pytest.mark.anyio

TOOLS = "notifications/tools/list_changed"
UPDATED = "notifications/resources/updated"
LISTS: dict[str, Any] = {"toolsListChanged": True, "resourcesListChanged": True}


def told(response: Response, method: str) -> list[dict[str, Any]]:
    return [one.get("params", {}) for one in response.messages if one.get("method") == method]


async def done(client: Client, method: str, params: dict[str, Any] | None = None, id: int = 1) -> dict[str, Any]:
    """Return the last message of the answer to a request."""
    return (await client.request(method, params, id=id).until_over()).messages[-1]


# -- the handshake and its methods ---------------------------------------------------------------


async def test_the_handshake_is_made_from_discovery() -> None:
    server = NewServer()
    async with served(both_eras(server)) as clients:
        hello = {"protocolVersion": "2025-06-18", "capabilities": {"roots": {"listChanged": True}, "tasks": {}}}
        body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {**hello, "clientInfo": {"name": "c"}}}
        response = await clients.send("POST", body).until_over()
    assert response.json["result"] == {
        "protocolVersion": "2025-06-18",
        "capabilities": server.capabilities,
        "serverInfo": {"name": "new", "version": "2"},
        "instructions": "be quick",
    }
    assert (server.heard[0].params or {})["_meta"] == {
        classify.META_REVISION: "2026-07-28",
        classify.META_CAPABILITIES: {"roots": {}},
        classify.META_CLIENT: {"name": "c"},
    }


async def test_a_server_of_another_revision_fails_the_handshake_in_words() -> None:
    async def refuse(asked: Message, back: Back) -> Answer:
        return message.failure(asked.id, refusal.UNSUPPORTED_REVISION, "no", {"supported": ["2099-01-01"]})

    server = NewServer()
    server.handlers["server/discover"] = refuse
    async with served(both_eras(server)) as clients:
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
        body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
        response = await clients.send("POST", body).until_over()
    assert response.json["error"]["code"] == refusal.INTERNAL_ERROR
    assert "2099-01-01" in response.json["error"]["message"]


async def test_methods_of_the_era_are_answered_and_others_unknown() -> None:
    server = NewServer()
    async with served(both_eras(server)) as clients:
        client = await clients.session()
        assert (await done(client, "ping"))["result"] == {}
        assert (await done(client, "logging/setLevel", {"level": "loud"}))["error"]["code"] == refusal.INVALID_PARAMS
        for method in ("subscriptions/listen", "server/discover", "tasks/get", "no/such"):
            assert (await done(client, method))["error"]["code"] == refusal.METHOD_NOT_FOUND
    assert [one.method for one in server.heard] == ["server/discover", "subscriptions/listen", "no/such"]


# -- requests and results -----------------------------------------------------------------------


async def test_a_request_carries_the_envelope_and_its_result_loses_it() -> None:
    async def call(asked: Message, back: Back) -> Answer:
        meta = {classify.META_SERVER: {"name": "new"}, "kept": 1}
        return {"structuredContent": {"a": 1}, "isError": False, "_meta": meta, "unknown": [2]}

    server = NewServer()
    server.handlers["tools/call"] = call
    async with served(both_eras(server)) as clients:
        client = await clients.session(capabilities={"sampling": {}})
        await done(client, "logging/setLevel", {"level": "info"})
        params = {"name": "t", "arguments": {}, "extra": 1, "_meta": {"progressToken": "p"}}
        result = (await done(client, "tools/call", params))["result"]
    sent, how = server.heard[-1], server.calls[-1]
    assert sent.params == {
        **params,
        "_meta": {
            "progressToken": "p",
            classify.META_REVISION: "2026-07-28",
            classify.META_CAPABILITIES: {"sampling": {}},
            classify.META_CLIENT: {"name": "t", "version": "1"},
            classify.META_LOG_LEVEL: "info",
        },
    }
    found = dict(how.headers)
    assert found[b"mcp-protocol-version"] == b"2026-07-28"
    assert (found[b"mcp-method"], found[b"mcp-name"]) == (b"tools/call", b"t")
    assert b"mcp-session-id" not in found
    assert result == {
        "structuredContent": {"a": 1},
        "isError": False,
        "unknown": [2],
        "_meta": {"kept": 1},
        "content": [{"type": "text", "text": '{"a":1}'}],
    }


@pytest.mark.parametrize(
    ("method", "params", "code", "data", "expected"),
    [
        ("resources/read", {"uri": "a:b"}, -32602, {"uri": "a:b"}, -32002),
        ("tools/call", {"name": "t"}, -32021, {"requiredCapabilities": {"sampling": {}}}, -32600),
        ("tools/call", {"name": "t"}, -32020, None, -32603),
        ("tools/call", {"name": "t"}, -32602, None, -32602),
    ],
)
async def test_errors_come_as_legacy_clients_know_them(
    method: str, params: dict[str, Any], code: int, data: Any, expected: int
) -> None:
    async def fail(asked: Message, back: Back) -> Answer:
        return message.failure(asked.id, code, "because", data)

    server = NewServer()
    server.handlers[method] = fail
    async with served(both_eras(server)) as clients:
        error = (await done(await clients.session(), method, params))["error"]
    assert error["code"] == expected
    assert "because" in error["message"]


async def test_arguments_are_mirrored_into_headers_for_the_server() -> None:
    schema = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}

    async def tools(asked: Message, back: Back) -> Answer:
        return {"tools": [{"name": "t", "inputSchema": schema}], "ttlMs": 60_000, "cacheScope": "public"}

    async def call(asked: Message, back: Back) -> Answer:
        return {"content": []}

    server = NewServer()
    server.handlers |= {"tools/list": tools, "tools/call": call}
    async with served(both_eras(server)) as clients:
        client = await clients.session()
        for region in ("eu", "é", None):
            await done(client, "tools/call", {"name": "t", "arguments": {"region": region}})
    sent = [dict(call.headers).get(b"mcp-param-region") for call in server.calls[-3:]]
    assert sent == [b"eu", b"=?base64?w6k=?=", None]
    assert [one.method for one in server.heard].count("tools/list") == 1


async def test_a_new_style_question_is_asked_and_the_state_goes_back_as_it_came() -> None:
    states: list[object] = []

    async def call(asked: Message, back: Back) -> Answer:
        params = asked.params or {}
        states.append(params.get("requestState"))
        if "inputResponses" in params:
            return {"content": [{"type": "text", "text": params["inputResponses"]["k"]["content"]["name"]}]}
        question: dict[str, Any] = {
            "method": "elicitation/create",
            "params": {"message": "who?", "requestedSchema": {}},
        }
        return {"resultType": "input_required", "inputRequests": {"k": question}, "requestState": "opaque"}

    server = NewServer()
    server.handlers["tools/call"] = call
    async with served(both_eras(server)) as clients:
        client = await clients.session()
        response = client.call("t")
        await response.until(1)
        asked = next(one for one in response.messages if one.get("method") == "elicitation/create")
        result = {"action": "accept", "content": {"name": "Ann"}}
        await client.post({"jsonrpc": "2.0", "id": asked["id"], "result": result}).until_over()
        assert text((await response.until_over()).messages[-1]) == "Ann"
    assert states == [None, "opaque"]


# -- announcements ------------------------------------------------------------------------------


async def test_a_session_listens_once_and_again_when_its_resources_change() -> None:
    server = NewServer()
    async with served(both_eras(server)) as clients:
        client = await clients.session()
        standalone = client.get()
        await standalone.until_started()
        assert [one.wanted for one in server.open_streams] == [LISTS]
        assert (await done(client, "resources/subscribe", {"uri": "a://1"}))["result"] == {}
        assert (await done(client, "resources/subscribe", {"uri": "a://1"}))["result"] == {}
        assert [one.wanted for one in server.open_streams] == [{**LISTS, "resourceSubscriptions": ["a://1"]}]
        await server.tell(UPDATED, {"uri": "a://1", "x": 1})
        await server.tell(TOOLS)
        await standalone.until(2)
        assert (await done(client, "resources/unsubscribe", {"uri": "a://1"}))["result"] == {}
        assert [one.wanted for one in server.open_streams] == [LISTS]
        ids = {one.asked.id for one in server.streams}
        assert len(ids) == len(server.streams) == 3
        await client.delete().until_over()
        await until(lambda: not server.open_streams)
    assert told(standalone, UPDATED) == [{"uri": "a://1", "x": 1}]
    assert [one for one in standalone.messages if one["method"] == TOOLS] == [{"jsonrpc": "2.0", "method": TOOLS}]


async def test_the_new_stream_is_open_before_the_old_one_ends() -> None:
    server = NewServer()
    both: list[int] = []

    async def listen(asked: Message, back: Back) -> Answer:
        both.append(len(server.open_streams))
        return await server._listen(asked, back)  # pyright: ignore[reportPrivateUsage]

    server.handlers["subscriptions/listen"] = listen
    async with served(both_eras(server)) as clients:
        client = await clients.session()
        await done(client, "resources/subscribe", {"uri": "a://1"})
    assert both == [0, 1]


async def test_a_stream_that_ends_is_opened_again_and_everything_announced() -> None:
    server = NewServer()
    async with served(both_eras(server)) as clients:
        client = await clients.session()
        standalone = client.get()
        await standalone.until_started()
        server.open_streams[0].ended.set()
        await standalone.until(2)
        assert len(server.open_streams) == 1
        await server.tell(TOOLS)
        await standalone.until(3)
    assert [one["method"] for one in standalone.messages] == [TOOLS, "notifications/resources/list_changed", TOOLS]


async def test_a_subscription_that_is_not_taken_is_refused_and_the_rest_stays() -> None:
    server = NewServer()
    async with served(both_eras(server)) as clients:
        client = await clients.session()
        server.acknowledges = False
        refused = await done(client, "resources/subscribe", {"uri": "a://1"})
        assert refused["error"]["code"] == refusal.INTERNAL_ERROR
        server.acknowledges = True
        assert [one.wanted for one in server.open_streams] == [LISTS]
        assert (await done(client, "resources/subscribe", {"uri": "a://1"}))["result"] == {}
        assert [one.wanted for one in server.open_streams] == [{**LISTS, "resourceSubscriptions": ["a://1"]}]


async def test_without_the_capability_nothing_is_listened_to_nor_subscribed() -> None:
    server = NewServer({"tools": {}, "resources": {}})
    async with served(both_eras(server)) as clients:
        client = await clients.session()
        refused = await done(client, "resources/subscribe", {"uri": "a://1"})
        assert refused["error"]["code"] == refusal.METHOD_NOT_FOUND
        assert not server.streams


async def test_a_server_that_cannot_listen_serves_the_session_nevertheless() -> None:
    server = NewServer()
    del server.handlers["subscriptions/listen"]
    async with served(both_eras(server)) as clients:
        client = await clients.session()
        assert (await done(client, "ping"))["result"] == {}


# -- a server object of the SDK v2, its legacy era untouched --------------------------------------


def talkative() -> MCPServer[Any]:
    server = build()

    @server.tool()
    async def log(ctx: Context[Any, Any]) -> str:
        await ctx.info("low")  # pyright: ignore[reportDeprecated]
        await ctx.error("high")  # pyright: ignore[reportDeprecated]
        return "logged"

    @server.resource("test://watched")
    async def watched() -> str:
        return "w"

    @server.tool()
    async def touch(ctx: Context[Any, Any]) -> str:
        await ctx.notify_resource_updated("test://watched")
        return "touched"

    return server


async def test_sdk_lists_reads_and_errors() -> None:
    async with served(both_eras(OneEra(talkative()))) as clients:
        client = await clients.session()
        tools = (await done(client, "tools/list"))["result"]
        assert not {"ttlMs", "cacheScope", "resultType", "_meta"} & set(tools)
        read = (await done(client, "resources/read", {"uri": "test://watched"}))["result"]
        assert read["contents"][0]["text"] == "w"
        missing = await done(client, "resources/read", {"uri": "test://none"})
        assert missing["error"]["code"] == -32002
        assert text(await done(client, "tools/call", {"name": "echo", "arguments": {"text": "a"}})) == "a"


async def test_sdk_progress_comes_under_the_clients_token() -> None:
    async with served(both_eras(OneEra(talkative()))) as clients:
        client = await clients.session()
        response = await client.call("count", {"to": 2}, token="p").until_over()
    assert [one["progress"] for one in told(response, "notifications/progress")] == [1, 2]
    assert {one["progressToken"] for one in told(response, "notifications/progress")} == {"p"}


async def test_sdk_logs_arrive_from_the_level_that_was_set() -> None:
    async with served(both_eras(OneEra(talkative()))) as clients:
        client = await clients.session()
        quiet = await client.call("log").until_over()
        await done(client, "logging/setLevel", {"level": "error"})
        loud = await client.call("log", id=2).until_over()
    assert told(quiet, "notifications/message") == []
    assert [one["data"] for one in told(loud, "notifications/message")] == ["high"]


async def test_sdk_updates_arrive_for_what_was_subscribed() -> None:
    async with served(both_eras(OneEra(talkative()))) as clients:
        client, other = await clients.session(), await clients.session()
        standalone, deaf = client.get(), other.get()
        await standalone.until_started()
        await deaf.until_started()
        assert (await done(client, "resources/subscribe", {"uri": "test://watched"}))["result"] == {}
        await client.call("touch").until_over()
        await standalone.until(1)
        await client.call("announce").until_over()
        await standalone.until(2)
        await deaf.until(1)
    assert told(standalone, UPDATED) == [{"uri": "test://watched"}]
    assert [one["method"] for one in deaf.messages] == [TOOLS]


async def test_sdk_a_cancelled_call_is_cancelled() -> None:
    gate = Gate()
    async with served(both_eras(OneEra(build(gate)))) as clients:
        client = await clients.session()
        client.call("hold", id=7)
        await gate.entered.wait()
        told_off = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
        await client.post(told_off).until_over()
        async with asyncio.timeout(5):
            assert await gate.outcome == "cancelled"


@pytest.mark.parametrize("tool", ["modern_greet", "greet"])
async def test_sdk_questions_of_both_styles_are_asked(tool: str) -> None:
    """The SDK refuses neither: `input_required` results are looped, a question in mid-call goes out as it is."""
    async with served(both_eras(OneEra(talkative()))) as clients:
        client = await clients.session()
        response, answered = client.call(tool), set[str]()
        while not response.is_over:
            open_ = [one for one in response.messages if one.get("method") == "elicitation/create"]
            for one in [one for one in open_ if one["id"] not in answered]:
                answered.add(one["id"])
                result = {"action": "accept", "content": {"name": f"N{len(answered)}"}}
                await client.post({"jsonrpc": "2.0", "id": one["id"], "result": result}).until_over()
            await asyncio.sleep(0.001)
    assert text(response.messages[-1]) == ("round one: accept N1" if tool == "modern_greet" else "hello N1 N2")
