"""Modern exchanges (MCP 2026-07-28, Streamable HTTP)."""

import asyncio
from typing import Any

import pytest

from portside.gateway.options import Options
from portside.wire import classify, refusal
from tests.gateway.servers import Gate, build
from tests.gateway.wired import text, wired

pytestmark = pytest.mark.anyio


async def test_a_quiet_call_is_answered_as_json() -> None:
    async with wired(build()) as clients:
        response = await clients.call("echo", {"text": "hi"}, id="k").until_over()
    assert (response.status, response.headers[b"content-type"]) == (200, b"application/json")
    assert response.json["id"] == "k"
    assert text(response.json) == "hi"
    assert response.json["result"]["resultType"] == "complete"


async def test_the_first_notification_turns_the_answer_into_a_stream() -> None:
    async with wired(build()) as clients:
        response = await clients.call("count", {"to": 3}, meta={"progressToken": 9}).until_over()
    assert response.is_stream
    assert [one.get("method") for one in response.messages] == ["notifications/progress"] * 3 + [None]
    assert [one["params"]["progress"] for one in response.messages[:3]] == [1, 2, 3]
    assert text(response.messages[-1]) == "counted 3"
    assert all(event.id is None for event in response.events)


async def test_silence_turns_the_answer_into_a_stream_with_comments() -> None:
    gate = Gate()
    async with wired(build(gate), Options(sse_after_s=0.06, keepalive_s=0.02)) as clients:
        response = clients.call("hold")
        await response.until_started()
        while b": keep-alive" not in response.body:
            await asyncio.sleep(0.01)
        gate.opened.set()
        await response.until_over()
    assert [text(one) for one in response.messages] == ["held"]


async def test_a_client_that_takes_no_stream_gets_json_and_no_notifications() -> None:
    async with wired(build()) as clients:
        response = await clients.call("count", {"to": 2}, headers={b"accept": b"application/json"}).until_over()
    assert not response.is_stream
    assert text(response.json) == "counted 2"


async def test_leaving_cancels_the_call() -> None:
    gate = Gate()
    async with wired(build(gate)) as clients:
        response = clients.call("hold")
        await gate.entered.wait()
        response.leave()
        assert await asyncio.wait_for(gate.outcome, 5) == "cancelled"
    assert response.incoming is not None
    assert response.incoming.record.outcome == "cancelled"


async def test_a_call_past_its_deadline_is_cancelled_and_told_so() -> None:
    gate = Gate()
    async with wired(build(gate), Options(call_timeout_s=0.05)) as clients:
        response = await clients.call("hold").until_over()
        assert await gate.outcome == "cancelled"
    assert response.json["error"]["code"] == refusal.CALL_TIMED_OUT
    assert "0.05 s" in response.json["error"]["message"]


async def test_a_result_over_the_cap_is_a_definite_error() -> None:
    async with wired(build(), Options(max_result_bytes=1000)) as clients:
        response = await clients.call("big", {"size": 1000}).until_over()
    assert response.json["error"]["code"] == refusal.RESULT_TOO_LARGE
    assert len(response.body) < 300


@pytest.mark.parametrize("method", ["ping", "logging/setLevel", "resources/subscribe", "initialize", "no/such"])
async def test_a_method_of_another_era_is_not_found(method: str) -> None:
    async with wired(build()) as clients:
        response = await clients.modern(method).until_over()
    assert (response.status, response.json["error"]["code"]) == (404, refusal.METHOD_NOT_FOUND)


async def test_a_notification_is_accepted_and_dropped() -> None:
    body = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    async with wired(build()) as clients:
        response = await clients.send("POST", body, {b"mcp-protocol-version": b"2026-07-28"}).until_over()
    assert (response.status, response.body) == (202, b"")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_modern_clients_post_only(method: str) -> None:
    async with wired(build()) as clients:
        response = await clients.send(method, headers={b"mcp-protocol-version": b"2026-07-28"}).until_over()
    assert (response.status, response.headers[b"allow"]) == (405, b"POST")


async def test_a_subscription_hears_changes_and_ends_with_its_completion() -> None:
    async with wired(build()) as clients:
        wanted = {"notifications": {"toolsListChanged": True}}
        listening = clients.modern("subscriptions/listen", wanted, id="sub")
        await listening.until(1)
        await clients.call("announce").until_over()
        await listening.until(2)
        await clients.gateway.end_streams()
        await listening.until_over()
    methods = [one.get("method") for one in listening.messages]
    assert methods == ["notifications/subscriptions/acknowledged", "notifications/tools/list_changed", None]
    assert listening.messages[-1]["id"] == "sub"
    assert listening.messages[-1]["result"]["_meta"][classify.META_SUBSCRIPTION] == "sub"


async def test_a_subscription_of_a_client_that_takes_no_stream_is_refused() -> None:
    async with wired(build()) as clients:
        wanted = {"notifications": {"toolsListChanged": True}}
        response = clients.modern("subscriptions/listen", wanted, headers={b"accept": b"application/json"})
        await response.until_over()
    assert response.status == 406


async def test_leaving_ends_a_subscription() -> None:
    async with wired(build()) as clients:
        listening = clients.modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
        await listening.until(1)
        assert clients.gateway.open_streams == 1
        listening.leave()
        while clients.gateway.open_streams:
            await asyncio.sleep(0.01)


async def test_two_hundred_calls_at_once_get_their_own_answers() -> None:
    async with wired(build()) as clients:
        responses = [clients.call("count", {"to": n % 3}, id=n, meta={"progressToken": n}) for n in range(200)]
        for n, response in enumerate(responses):
            await response.until_over()
            assert response.messages[-1]["id"] == n
            assert {one["params"]["progressToken"] for one in response.messages[:-1]} <= {n}
            assert text(response.messages[-1]) == f"counted {n % 3}"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({b"content-type": b"text/plain"}, 415),
        ({b"content-type": b""}, 415),
        ({b"content-type": b"application/json; charset=utf-8"}, 200),
        ({b"accept": b"text/html"}, 406),
        ({b"accept": b"*/*"}, 200),
        ({b"accept": b"application/*"}, 200),
    ],
)
async def test_content_and_accept_headers_are_judged(headers: dict[bytes, bytes], status: int) -> None:
    async with wired(build()) as clients:
        response = await clients.call("echo", {"text": "a"}, headers=headers).until_over()
    assert response.status == status


async def test_the_record_tells_what_happened() -> None:
    async with wired(build()) as clients:
        responses: list[Any] = [clients.call("echo", {"text": "a"}), clients.call("nope"), clients.modern("no/such")]
        records = [(await one.until_over()).incoming.record for one in responses]
    assert [(one.era, one.rpc_method, one.name, one.outcome) for one in records] == [
        ("modern", "tools/call", "echo", "ok"),
        ("modern", "tools/call", "nope", "tool_error"),
        ("modern", "other", None, "error"),
    ]
