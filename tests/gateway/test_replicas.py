"""Legacy sessions and suspended calls over several replicas: relayed to their owner, taken over where it is lost."""

import asyncio
from typing import Any

import pytest
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import ToolAnnotations

from portside.gateway.forwarded import COME_BACK_MS
from portside.gateway.http import Incoming
from portside.gateway.options import Options
from portside.observe.record import Record
from portside.wire import refusal
from tests.gateway.servers import Gate, Name, build
from tests.gateway.severed import replicas
from tests.gateway.test_suspended import accepted, asked, retry
from tests.gateway.wired import Client, Response, text

pytestmark = pytest.mark.anyio

PATIENT_S = 8.0


async def eventually(ask: Any, wanted: int = 200) -> Response:
    """Ask again until the answer has the wanted status: a lost replica is known to be lost only after a while."""
    async with asyncio.timeout(PATIENT_S):
        while True:
            response: Response = await ask().until_over()
            if response.status == wanted:
                return response
            await asyncio.sleep(0.05)


async def test_a_session_is_served_through_every_replica() -> None:
    async with replicas(build(), build(), build()) as (first, second, third):
        client = await first.clients.session(principal="ann")
        for replica in (second, third, first):
            answer = await replica.adopt(client).call("echo", {"text": "hi"}).until_over()
            assert text(answer.json) == "hi"
        assert [len(one.gateway.legacy.live) for one in (first, second, third)] == [1, 0, 0]


async def test_the_first_request_after_the_handshake_decides_whose_a_session_is() -> None:
    hello: dict[str, Any] = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    }
    async with replicas(build(), build()) as (first, second):
        body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
        opened = await first.clients.send("POST", body).until_over()
        client = Client(second.clients, opened.headers[b"mcp-session-id"], "2025-11-25", None)
        told = await client.post({"jsonrpc": "2.0", "method": "notifications/initialized"}).until_over()
        answer = await client.call("echo", {"text": "hi"}).until_over()
        assert (told.status, text(answer.json)) == (202, "hi")
        assert (len(first.gateway.legacy.live), len(second.gateway.legacy.live)) == (0, 1)
        assert answer.headers[b"mcp-session-id"] == client.id


async def test_a_relayed_answer_is_streamed_as_it_comes() -> None:
    gate = Gate()
    async with replicas(build(gate), build()) as (first, second):
        client = second.adopt(await first.clients.session())
        response = client.call("hold_aloud", token="t")
        (progress,) = await response.until(1)
        assert progress["params"]["message"] == "before"
        gate.opened.set()
        await response.until_over()
        assert [one["params"]["progress"] for one in response.messages[:-1]] == [1, 2]
        assert text(response.messages[-1]) == "held"


async def test_a_large_answer_is_relayed_whole() -> None:
    async with replicas(build(), build()) as (first, second):
        client = second.adopt(await first.clients.session())
        answer = await client.call("big", {"size": 3_000_000}).until_over()
        assert len(text(answer.json)) == 3_000_000


async def test_a_question_is_answered_through_any_replica() -> None:
    async with replicas(build(), build(), build()) as (first, second, third):
        client = await first.clients.session()
        response = second.adopt(client).call("greet")
        for count, name in enumerate(("Ann", "Lee"), 1):
            messages = await response.until(count)
            question = [one for one in messages if one.get("method") == "elicitation/create"][-1]
            body = {"jsonrpc": "2.0", "id": question["id"], "result": accepted(name)}
            assert (await third.adopt(client).post(body).until_over()).status == 202
        await response.until_over()
        assert text(response.messages[-1]) == "hello Ann Lee"


async def test_a_relayed_call_is_cancelled_through_any_replica() -> None:
    gate = Gate()
    async with replicas(build(gate), build(), build()) as (first, second, third):
        client = await first.clients.session()
        response = second.adopt(client).call("hold", id=7)
        await gate.entered.wait()
        told = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
        await third.adopt(client).post(told).until_over()
        assert await gate.outcome == "cancelled"
        await response.until_over()


async def test_a_session_ended_through_one_replica_is_unknown_to_all() -> None:
    async with replicas(build(), build(), build()) as all_:
        client = await all_[0].clients.session()
        assert (await all_[1].adopt(client).delete().until_over()).status == 200
        answers = [await one.adopt(client).call("echo", {"text": "x"}).until_over() for one in all_]
        assert [one.status for one in answers] == [404, 404, 404]


async def test_somebody_elses_session_looks_like_none_on_every_replica() -> None:
    async with replicas(build(), build()) as all_:
        client = await all_[0].clients.session(principal="ann")
        client.principal = "eve"
        answers = [await one.adopt(client).call("echo", {"text": "x"}).until_over() for one in all_]
        client.id = b"nope"
        unknown = [await one.adopt(client).call("echo", {"text": "x"}).until_over() for one in all_]
        assert [one.body for one in answers] == [one.body for one in unknown]
        assert {one.status for one in answers} == {404}


async def test_a_lost_replicas_session_goes_on_at_the_next_one() -> None:
    async with replicas(build(), build()) as (first, second):
        client = await first.clients.session(principal="ann")
        first.wire.is_cut = True
        await eventually(lambda: second.adopt(client).request("ping", id=2))
        answer = await second.adopt(client).call("echo", {"text": "hi"}).until_over()
        assert text(answer.json) == "hi"
        assert len(second.gateway.legacy.live) == 1
        first.wire.is_cut = False
        back = await eventually(lambda: first.adopt(client).call("echo", {"text": "hi"}))
        assert text(back.json) == "hi"
        assert not first.gateway.legacy.live


async def test_a_call_that_a_lost_replica_never_read_is_made_by_the_next_one() -> None:
    async with replicas(build(), build()) as (first, second):
        client = await first.clients.session()
        first.gateway.relay._mail._reading.cancel()
        first.wire.is_cut = True
        answer = await second.adopt(client).call("echo", {"text": "hi"}).until_over()
        assert text(answer.json) == "hi"


async def test_a_replica_that_ends_hands_its_sessions_over_at_once() -> None:
    async with replicas(build(), build()) as (first, second):
        client = await first.clients.session()
        await first.gateway.end_streams()
        await first.gateway.close()
        answer = await second.adopt(client).call("echo", {"text": "hi"}).until_over()
        assert text(answer.json) == "hi"


async def test_a_session_that_nobody_can_vouch_for_is_refused_until_somebody_can() -> None:
    async with replicas(build(), build()) as (first, _):
        client = await first.clients.session()
        first.wire.is_cut = True
        refused = await eventually(lambda: client.call("echo", {"text": "x"}), 503)
        assert refused.json["error"]["code"] == refusal.STATE_AWAY
        assert refused.headers[b"retry-after"] == b"1"
        assert text((await first.clients.call("echo", {"text": "modern"}).until_over()).json) == "modern"
        first.wire.is_cut = False
        assert text((await eventually(lambda: client.call("echo", {"text": "x"}))).json) == "x"


def stepping(gate: Gate, hints: ToolAnnotations | None, runs: list[str], name: str) -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer("stepping")

    @server.tool(annotations=hints)
    async def step(ctx: Context[Any, Any]) -> str:
        runs.append(name)
        await ctx.report_progress(1, 2, name)
        await gate.wait()
        return f"done by {name}"

    return server


@pytest.mark.parametrize("hints", [ToolAnnotations(read_only_hint=True), ToolAnnotations(idempotent_hint=True), None])
async def test_a_lost_replicas_call_is_run_again_or_its_outcome_is_unknown(hints: ToolAnnotations | None) -> None:
    runs: list[str] = []
    held, free = Gate(), Gate()
    free.opened.set()
    async with replicas(stepping(held, hints, runs, "a"), stepping(free, hints, runs, "b")) as (first, second):
        client = await first.clients.session()
        response = client.call("step", id=3, token="t")
        await response.until(1)
        (last,) = [event.id for event in response.events if event.data]
        first.wire.is_cut = True
        resumed = await eventually(lambda: second.adopt(client).get(last))
        *told, answer = resumed.messages
        if hints is None:
            assert (runs, told) == (["a"], [])
            assert (answer["id"], answer["error"]["code"]) == (3, refusal.OUTCOME_UNKNOWN)
        else:
            assert runs == ["a", "b"]
            assert [one["params"]["message"] for one in told] == ["b"]
            assert text(answer) == "done by b"
        held.opened.set()


async def test_a_resumed_stream_is_told_what_was_said_meanwhile_once_and_in_order() -> None:
    gate = Gate()
    async with replicas(build(gate), build()) as (first, second):
        client = await first.clients.session()
        response = client.call("part", token="t")
        await response.until_over()
        *_, last = [event.id for event in response.events if event.id]
        resumed = second.adopt(client).get(last)
        await gate.entered.wait()
        gate.opened.set()
        await resumed.until_over()
        assert [one["params"]["progress"] for one in resumed.messages[:-1]] == [2]
        assert text(resumed.messages[-1]) == "whole"


async def test_a_relayed_stream_of_a_lost_replica_is_to_be_resumed_at_once_and_then_at_leisure() -> None:
    gate = Gate()
    async with replicas(build(gate), build()) as (first, second):
        client = second.adopt(await first.clients.session())
        response = client.call("hold_aloud", token="t")
        await response.until(1)
        first.wire.is_cut = True
        await response.until_over()
        assert response.events[-1].retry_ms == COME_BACK_MS
        last = [event.id for event in response.events if event.data][-1]
        resumed = await eventually(lambda: client.get(last))
        assert resumed.events[0].retry_ms == Options().retry_ms
        gate.opened.set()


async def test_nobody_waits_for_a_call_that_goes_on_at_yet_another_replica() -> None:
    runs: list[str] = []
    held, reads = Gate(), ToolAnnotations(read_only_hint=True)
    async with replicas(stepping(held, reads, runs, "a"), stepping(held, reads, runs, "b")) as (first, second):
        client = await first.clients.session()
        response = client.call("step", id=3, token="t")
        await response.until(1)
        (last,) = [event.id for event in response.events if event.data]
        first.wire.is_cut = True
        await eventually(lambda: second.adopt(client).request("ping", id=4))
        resumed = second.adopt(client).get(last)
        await resumed.until(1)
        second.adopt(client).call("step", id=5, token="u")
        (session,) = second.gateway.legacy.live.values()
        while not session.calls:
            await asyncio.sleep(0)
        session.ownership.lose()
        await resumed.until_over()
        held.opened.set()


async def test_a_listener_that_comes_while_its_session_ends_is_let_go() -> None:
    async with replicas(build(), build()) as (first, _):
        await first.clients.session()
        (session,) = first.gateway.legacy.live.values()
        session.ownership.lose()
        while not session.is_ended:
            await asyncio.sleep(0)
        response = Response()
        incoming = Incoming("GET", {}, [], b"", Record())
        async with asyncio.timeout(PATIENT_S):
            await session.listen(incoming, response, None)
        assert response.is_over


async def test_log_level_and_subscriptions_are_restored_where_a_session_goes_on() -> None:
    def server(told: list[str]) -> MCPServer[Any]:
        made: MCPServer[Any] = MCPServer("levels")
        low: Any = made._lowlevel_server  # pyright: ignore[reportPrivateUsage]

        async def set_level(ctx: Any, params: Any) -> Any:
            from mcp_types import EmptyResult

            told.append(f"level {params.level}")
            return EmptyResult()

        async def subscribe(ctx: Any, params: Any) -> Any:
            from mcp_types import EmptyResult

            told.append(f"subscribe {params.uri}")
            return EmptyResult()

        from mcp_types import SetLevelRequestParams, SubscribeRequestParams

        low.add_request_handler("logging/setLevel", SetLevelRequestParams, set_level)
        low.add_request_handler("resources/subscribe", SubscribeRequestParams, subscribe)
        return made

    here: list[str] = []
    there: list[str] = []
    async with replicas(server(here), server(there)) as (first, second):
        client = await first.clients.session()
        await client.request("logging/setLevel", {"level": "warning"}, id=2).until_over()
        await client.request("resources/subscribe", {"uri": "note://a"}, id=3).until_over()
        first.wire.is_cut = True
        await eventually(lambda: second.adopt(client).request("ping", id=4))
        assert here == there == ["level warning", "subscribe note://a"]


async def test_a_suspended_calls_answer_finds_its_replica() -> None:
    async with replicas(build(), build(), build()) as (first, second, third):
        questions, state = await asked(first.clients.call("greet", principal="ann"))
        questions, state = await asked(
            retry(second.clients, "greet", state, {next(iter(questions)): accepted("Ann")}, principal="ann")
        )
        last = retry(third.clients, "greet", state, {next(iter(questions)): accepted("Lee")}, principal="ann")
        assert text((await last.until_over()).messages[-1]) == "hello Ann Lee"


def greeting(hints: ToolAnnotations | None) -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer("greeting")

    @server.tool(annotations=hints)
    async def greet(ctx: Context[Any, Any]) -> str:
        first = await ctx.elicit("first name?", Name)
        last = await ctx.elicit("last name?", Name)
        return " ".join(one.data.name if one.action == "accept" else one.action for one in (first, last))

    return server


@pytest.mark.parametrize("hints", [ToolAnnotations(read_only_hint=True), None])
async def test_a_suspended_call_of_a_lost_replica_is_run_again_with_its_answers(hints: ToolAnnotations | None) -> None:
    async with replicas(greeting(hints), greeting(hints)) as (first, second):
        questions, state = await asked(first.clients.call("greet"))
        questions, state = await asked(retry(first.clients, "greet", state, {next(iter(questions)): accepted("Ann")}))
        await first.gateway.close()
        last = retry(second.clients, "greet", state, {next(iter(questions)): accepted("Lee")})
        answer = (await last.until_over()).messages[-1]
        if hints is None:
            assert answer["error"]["data"] == {"reason": "suspended_call_lost"}
        else:
            assert text(answer) == "Ann Lee"


async def test_a_suspended_call_whose_replica_is_lost_in_the_middle_of_its_answer_is_told_so() -> None:
    gate, server = Gate(), MCPServer[Any]("greeting")

    @server.tool()
    async def greet(ctx: Context[Any, Any]) -> str:
        await ctx.elicit("a name?", Name)
        await ctx.report_progress(1, 2)
        await gate.wait()
        return "greeted"

    async with replicas(server, build()) as (first, second):
        questions, state = await asked(first.clients.call("greet", meta={"progressToken": "s"}))
        answers = {next(iter(questions)): accepted("Ann")}
        last = retry(second.clients, "greet", state, answers, id=7, meta={"progressToken": "t"})
        await last.until(1)
        first.wire.is_cut = True
        await last.until_over()
        assert (last.messages[-1]["id"], last.messages[-1]["error"]["code"]) == (7, refusal.OUTCOME_UNKNOWN)
        gate.opened.set()


async def test_a_sealed_state_of_the_servers_own_is_good_on_every_replica() -> None:
    async with replicas(build(), build()) as (first, second):
        questions, state = await asked(first.clients.call("modern_greet"))
        last = retry(second.clients, "modern_greet", state, {next(iter(questions)): accepted("Ann")})
        assert text((await last.until_over()).messages[-1]) == "round one: accept Ann"


async def test_a_client_that_leaves_a_relayed_stream_is_let_go() -> None:
    async with replicas(build(), build()) as (first, second):
        client = await first.clients.session()
        stream = second.adopt(client).get()
        await stream.until_started()
        assert first.gateway.open_streams == 1
        stream.leave()
        async with asyncio.timeout(PATIENT_S):
            while first.gateway.open_streams:
                await asyncio.sleep(0.02)


async def test_two_replicas_that_both_want_a_session_agree_on_one() -> None:
    async with replicas(build(), build(), build()) as (first, second, third):
        client = await first.clients.session()
        await first.gateway.end_streams()
        await first.gateway.close()
        answers = await asyncio.gather(
            *(
                one.adopt(client).call("echo", {"text": str(number)}, id=number).until_over()
                for number in range(10)
                for one in (second, third)
            )
        )
        assert sorted(text(one.json) for one in answers) == sorted(str(number) for number in range(10) for _ in "ab")
        assert len(second.gateway.legacy.live) + len(third.gateway.legacy.live) == 1


async def test_sessions_are_capped_by_each_replica() -> None:
    async with replicas(build(), build(), options=Options(max_sessions=1)) as all_:
        for one in all_:
            await one.clients.session()
        hello: dict[str, Any] = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {}}
        assert [(await one.clients.send("POST", hello).until_over()).status for one in all_] == [503, 503]
