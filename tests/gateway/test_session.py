"""Legacy sessions (MCP 2025-11-25, Transports and Lifecycle)."""

import asyncio
from typing import Any

import pytest

from portside.clock import ManualClock
from portside.gateway.options import Options
from portside.wire import refusal
from tests.gateway.servers import Gate, build
from tests.gateway.wired import Response, text, wired

pytestmark = pytest.mark.anyio


def accepted(name: str) -> dict[str, Any]:
    return {"action": "accept", "content": {"name": name}}


async def test_a_session_is_opened_used_and_ended() -> None:
    async with wired(build()) as clients:
        client = await clients.session()
        assert text((await client.call("echo", {"text": "hi"}).until_over()).json) == "hi"
        assert (await client.delete().until_over()).status == 200
        gone = await client.call("echo", {"text": "hi"}).until_over()
        assert not clients.gateway.legacy.live
    assert (gone.status, gone.json["error"]["message"]) == (404, "Session not found")


@pytest.mark.parametrize(
    ("asked", "given"),
    [("2025-11-25", "2025-11-25"), ("2024-11-05", "2024-11-05"), ("2026-07-28", "2025-11-25"), ("1.0", "2025-11-25")],
)
async def test_the_revision_is_negotiated(asked: str, given: str) -> None:
    async with wired(build()) as clients:
        client = await clients.session(asked)
    assert client.headers[b"mcp-protocol-version"] == given.encode()


async def test_a_request_without_a_session_is_refused() -> None:
    body = {"jsonrpc": "2.0", "id": 5, "method": "tools/list"}
    async with wired(build()) as clients:
        missing = await clients.send("POST", body).until_over()
        unknown = await clients.send("POST", body, {b"mcp-session-id": b"nope"}).until_over()
        streamless = await clients.send("GET").until_over()
    assert (missing.status, missing.json["id"]) == (400, 5)
    assert (unknown.status, unknown.json["id"]) == (404, 5)
    assert streamless.status == 400


async def test_somebody_elses_session_looks_like_none_at_all() -> None:
    async with wired(build()) as clients:
        client = await clients.session(principal="ann")
        client.principal = "eve"
        answers = [await send().until_over() for send in (lambda: client.call("echo"), client.get, client.delete)]
        unknown = await clients.send("GET", headers={b"mcp-session-id": b"nope"}, principal="eve").until_over()
        assert len(clients.gateway.legacy.live) == 1
    assert [one.status for one in answers] == [404, 404, 404]
    assert answers[1].body == unknown.body


async def test_a_refused_handshake_leaves_no_session_behind() -> None:
    async with wired(build()) as clients:
        hello: dict[str, Any] = {"protocolVersion": 5}
        body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
        response = await clients.send("POST", body).until_over()
        assert not clients.gateway.legacy.live
    assert response.json["error"]["code"] == refusal.INVALID_PARAMS


async def test_sessions_are_capped_with_a_hint_when_to_retry() -> None:
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {}}
    async with wired(build(), Options(max_sessions=1)) as clients:
        await clients.session()
        response = await clients.send("POST", body).until_over()
    assert (response.status, response.headers[b"retry-after"]) == (503, b"5")


async def test_idle_sessions_are_ended_and_busy_ones_are_not() -> None:
    clock, gate = ManualClock(), Gate()
    async with wired(build(gate), Options(session_idle_s=100), clock=clock) as clients:
        await clients.session()
        calling, listening, fresh = [await clients.session() for _ in range(3)]
        call = calling.call("hold")
        stream = listening.get()
        await gate.entered.wait()
        await stream.until_started()
        clock.advance(101)
        await fresh.call("echo", {"text": "a"}).until_over()
        assert await clients.gateway.legacy.end_idle() == 1
        gate.opened.set()
        await call.until_over()
    assert text(call.json) == "held"


async def test_events_of_a_stream_have_ids_and_come_after_a_priming_event() -> None:
    async with wired(build(), Options(retry_ms=77)) as clients:
        client = await clients.session()
        response = await client.call("count", {"to": 2}, token="t").until_over()
    events = response.events
    assert (events[0].data, events[0].retry_ms) == ("", 77)
    assert len({event.id for event in events}) == 4
    assert text(response.messages[-1]) == "counted 2"


async def test_older_clients_get_no_priming_event() -> None:
    async with wired(build()) as clients:
        client = await clients.session("2025-06-18")
        response = await client.call("count", {"to": 1}, token="t").until_over()
    assert all(event.data for event in response.events)


async def test_leaving_does_not_cancel_and_the_rest_is_there_for_whoever_comes_back() -> None:
    gate = Gate()
    async with wired(build(gate)) as clients:
        client = await clients.session()
        response = client.call("hold_aloud", token="t")
        await response.until(1)
        last = response.events[-1].id
        response.leave()
        gate.opened.set()
        assert await gate.outcome == "finished"
        while client.id.decode() in clients.gateway.legacy.live and clients.gateway.calls_in_flight:
            await asyncio.sleep(0.01)
        resumed = await client.get(last).until_over()
    assert [one.get("method") for one in resumed.messages] == ["notifications/progress", None]
    assert text(resumed.messages[-1]) == "held"


async def test_coming_back_during_the_call_goes_on_live_without_loss_or_repeat() -> None:
    gate = Gate()
    async with wired(build(gate)) as clients:
        client = await clients.session()
        response = client.call("hold_aloud", token="t")
        await response.until(1)
        first = response.events[0].id
        response.leave()
        resumed = client.get(first)
        await resumed.until(1)
        gate.opened.set()
        await resumed.until_over()
    steps = [one["params"]["progress"] for one in resumed.messages if "params" in one]
    assert steps == [1, 2]
    assert text(resumed.messages[-1]) == "held"


async def test_a_tool_may_end_its_stream_and_go_on() -> None:
    gate = Gate()
    async with wired(build(gate)) as clients:
        client = await clients.session()
        response = await client.call("part", token="t").until_over()
        last = response.events[-1].id
        resumed = client.get(last)
        await resumed.until_started()
        gate.opened.set()
        await resumed.until_over()
    assert [one["params"]["progress"] for one in response.messages] == [1]
    assert [one.get("method") for one in resumed.messages] == ["notifications/progress", None]
    assert text(resumed.messages[-1]) == "whole"


async def test_another_sessions_events_cannot_be_resumed() -> None:
    async with wired(build()) as clients:
        ann, eve = await clients.session(), await clients.session()
        response = await ann.call("count", {"to": 2}, token="t").until_over()
        stolen = await eve.get(response.events[0].id).until_over()
    assert stolen.status == 400
    assert b"counted" not in stolen.body


async def test_cancelling_ends_the_call_without_an_answer() -> None:
    gate = Gate()
    async with wired(build(gate)) as clients:
        client = await clients.session()
        response = client.call("hold", id=5)
        await gate.entered.wait()
        note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}}
        assert (await client.post(note).until_over()).status == 202
        await response.until_over()
        assert await gate.outcome == "cancelled"
    assert response.is_stream
    assert response.messages == []


async def test_an_id_that_is_still_running_is_refused() -> None:
    gate = Gate()
    async with wired(build(gate)) as clients:
        client = await clients.session()
        first = client.call("hold", id=5)
        await gate.entered.wait()
        second = await client.call("hold", id=5).until_over()
        gate.opened.set()
        await first.until_over()
    assert second.status == 400


async def test_a_call_past_its_deadline_is_told_so() -> None:
    gate = Gate()
    async with wired(build(gate), Options(call_timeout_s=0.05)) as clients:
        client = await clients.session()
        response = await client.call("hold").until_over()
    assert response.json["error"]["code"] == refusal.CALL_TIMED_OUT


async def answer_questions(client: Any, response: Response, *answers: dict[str, Any]) -> None:
    """Answer the questions on a stream, one after the other, as they come."""
    for number, answer in enumerate(answers, 1):
        seen: list[Any] = []
        while len(seen) < number:
            seen = [one for one in await response.until(1) if one.get("method") == "elicitation/create"]
            await asyncio.sleep(0.005)
        reply = {"jsonrpc": "2.0", "id": seen[number - 1]["id"], **answer}
        assert (await client.post(reply).until_over()).status == 202


async def test_an_old_style_question_is_asked_on_the_calls_stream() -> None:
    async with wired(build()) as clients:
        client = await clients.session()
        response = client.call("greet")
        await answer_questions(client, response, {"result": accepted("Ann")}, {"result": {"action": "decline"}})
        await response.until_over()
    assert text(response.messages[-1]) == "hello Ann decline"
    assert all(isinstance(one["id"], str) for one in response.messages if one.get("method") == "elicitation/create")


async def test_a_new_style_question_is_asked_and_the_call_repeated() -> None:
    async with wired(build()) as clients:
        client = await clients.session()
        response = client.call("modern_greet", id=3)
        await answer_questions(client, response, {"result": accepted("Ann")})
        await response.until_over()
    assert response.messages[-1]["id"] == 3
    assert text(response.messages[-1]) == "round one: accept Ann"


async def test_a_question_the_client_refuses_fails_the_call() -> None:
    async with wired(build()) as clients:
        client = await clients.session()
        response = client.call("modern_greet")
        await answer_questions(client, response, {"error": {"code": -1, "message": "not now"}})
        await response.until_over()
    assert "not now" in response.messages[-1]["error"]["message"]


async def test_a_client_without_the_capability_is_not_asked() -> None:
    async with wired(build()) as clients:
        client = await clients.session(capabilities={})
        answers = [await client.call(tool).until_over() for tool in ("greet", "modern_greet")]
    assert [one.json["error"]["code"] for one in answers] == [refusal.INVALID_REQUEST] * 2


async def test_a_server_that_never_stops_asking_is_given_up() -> None:
    async with wired(build()) as clients:
        client = await clients.session()
        response = client.call("insatiable")
        answering = asyncio.create_task(answer_questions(client, response, *([{"result": accepted("x")}] * 40)))
        await response.until_over()
        answering.cancel()
    assert "32 rounds" in response.messages[-1]["error"]["message"]


async def test_the_standalone_stream_hears_what_belongs_to_no_call() -> None:
    async with wired(build()) as clients:
        client = await clients.session()
        stream = client.get()
        await stream.until_started()
        await client.call("announce").until_over()
        await stream.until(1)
        clients.gateway.legacy.hint_and_end_streams()
        await stream.until_over()
    assert [one["method"] for one in stream.messages] == ["notifications/tools/list_changed"]
    assert stream.events[-1].retry_ms == 1000


async def test_what_was_said_while_nobody_listened_is_heard_by_the_next_listener_once() -> None:
    async with wired(build()) as clients:
        client = await clients.session()
        await client.call("announce").until_over()
        first = client.get()
        await first.until(1)
        first.leave()
        second = client.get()
        await second.until_started()
        await client.call("announce", id=2).until_over()
        await second.until(1)
    assert [len(first.messages), len(second.messages)] == [1, 1]


async def test_ending_a_session_answers_its_calls_and_closes_its_streams() -> None:
    gate = Gate()
    async with wired(build(gate)) as clients:
        client = await clients.session()
        stream, call = client.get(), client.call("hold")
        await gate.entered.wait()
        await stream.until_started()
        await client.delete().until_over()
        await stream.until_over()
        await call.until_over()
    assert "session ended" in call.json["error"]["message"]


async def test_batches_exist_in_one_revision_only() -> None:
    batch = [
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "a"}}},
        {"jsonrpc": "2.0", "method": "notifications/roots/list_changed"},
        {"jsonrpc": "2.0", "id": 2, "method": "ping"},
    ]
    async with wired(build()) as clients:
        old, new = await clients.session("2025-03-26"), await clients.session("2025-06-18")
        answered = await old.post(batch).until_over()
        refused = await new.post(batch).until_over()
        told = await old.post([batch[1]]).until_over()
        twice = await old.post([batch[0], batch[0]]).until_over()
    assert {one["id"] for one in answered.json} == {1, 2}
    assert (refused.status, refused.json["error"]["code"]) == (400, refusal.INVALID_REQUEST)
    assert told.status == 202
    assert twice.status == 400


async def test_a_batch_that_tells_something_is_answered_as_a_stream() -> None:
    def count(id: int) -> dict[str, Any]:
        params = {"name": "count", "arguments": {"to": 2}, "_meta": {"progressToken": id}}
        return {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}

    async with wired(build()) as clients:
        client = await clients.session("2025-03-26")
        response = await client.post([count(1), count(2)]).until_over()
    assert sorted(one["id"] for one in response.messages if "id" in one) == [1, 2]
    assert sum("method" in one for one in response.messages) == 4


async def test_session_ids_are_unguessable_visible_ascii_and_never_in_the_record() -> None:
    async with wired(build()) as clients:
        clients_ = [await clients.session() for _ in range(20)]
        response = await clients_[0].call("echo", {"text": "a"}).until_over()
    ids = {client.id for client in clients_}
    assert len(ids) == 20
    assert all(len(id) >= 32 and id.isalnum() for id in ids)
    assert response.incoming is not None
    session = response.incoming.record.session
    assert session is not None
    assert session.encode() not in clients_[0].id
