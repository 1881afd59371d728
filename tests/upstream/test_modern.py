"""Modern exchanges with an upstream over HTTP: what is sent, what comes back, and what is made of odd answers."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from portside.errors import HostBusy, HostGone
from portside.hosting.base import Link
from portside.hosting.http.client import Limits, Pool
from portside.hosting.upstream.credentials import bearer
from portside.hosting.upstream.endpoint import Endpoint, NotLetIn
from portside.hosting.upstream.modern import ModernLink
from portside.secret import Secret
from portside.wire import classify, methods
from tests.upstream.scripted import Answer, Asked, Peer, Scripted, scripted
from tests.upstream.talking import Heard, modern, modern_call, modern_tool

pytestmark = pytest.mark.anyio

PROGRESS = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": "p", "progress": 1}}


@asynccontextmanager
async def linked(answer: Answer, limits: Limits | None = None) -> AsyncGenerator[tuple[Link, Scripted]]:
    async with scripted(answer) as server:
        pool = Pool(server.address, limits)
        try:
            async with asyncio.timeout(20):
                yield ModernLink(Endpoint(server.url, b"/mcp", pool)), server
        finally:
            await pool.close()


def answered(status: int, body: bytes, headers: Mapping[str, str]) -> Answer:
    async def answer(asked: Asked, peer: Peer) -> None:
        await peer.answer(status, body, **headers)

    return answer


async def done(asked: Asked, peer: Peer) -> None:
    await peer.result(asked, {"resultType": "complete", "asked": asked.json["method"]})


# -- what is sent -------------------------------------------------------------------------------


async def test_a_call_carries_the_headers_that_mirror_its_body() -> None:
    async with linked(done) as (link, server):
        reply = await link.request(modern_tool("Grüße", id="id-1"), Heard(), modern_call())
    headers = server.asked[0].headers
    assert reply.id == "id-1"
    assert headers["content-type"] == "application/json"
    assert headers["accept"] == "application/json, text/event-stream"
    assert headers["mcp-protocol-version"] == "2026-07-28"
    assert headers["mcp-method"] == "tools/call"
    assert headers["mcp-name"] == "=?base64?R3LDvMOfZQ==?="


async def test_a_method_cannot_break_out_of_its_header() -> None:
    async with linked(done) as (link, server):
        await link.request(modern("odd\r\nx-evil: 1"), Heard(), modern_call())
    assert "x-evil" not in server.asked[0].headers


async def test_the_callers_identity_stays_here_and_its_mirrored_arguments_go_on() -> None:
    """MCP 2026-07-28, Authorization: a token that was issued for us must not be passed through."""
    caller = [
        (b"authorization", b"Bearer canary"),
        (b"cookie", b"canary=1"),
        (b"x-api-key", b"canary"),
        (b"mcp-session-id", b"canary"),
        (b"forwarded", b"for=canary"),
        (b"host", b"canary.example"),
        (b"mcp-param-region", b"eu"),
        (b"traceparent", b"00-1-2-01"),
        (b"tracestate", b"a=b"),
    ]
    async with linked(done) as (link, server):
        await link.request(modern_tool("t"), Heard(), modern_call(caller))
    asked = server.asked[0]
    assert "canary" not in repr(asked)
    assert asked.headers["mcp-param-region"] == "eu"
    assert (asked.headers["traceparent"], asked.headers["tracestate"]) == ("00-1-2-01", "a=b")


async def test_our_own_credentials_are_sent_in_place_of_the_callers() -> None:
    async with scripted(done) as server:
        pool = Pool(server.address)
        link = ModernLink(Endpoint(server.url, b"/mcp", pool, bearer(Secret(b"ours"))))
        await link.request(modern_tool("t"), Heard(), modern_call([(b"authorization", b"Bearer canary")]))
        await pool.close()
    assert server.asked[0].headers["authorization"] == "Bearer ours"


# -- what comes back ----------------------------------------------------------------------------


async def test_notifications_come_before_the_answer_of_a_stream() -> None:
    told = asyncio.Event()

    async def answer(asked: Asked, peer: Peer) -> None:
        await peer.open_stream()
        await peer.event(PROGRESS)
        await told.wait()  # the answer is written only once the notification was passed on
        await peer.event({"jsonrpc": "2.0", "id": asked.json["id"], "result": {"resultType": "complete"}})
        await peer.end_stream()

    back = Heard()
    async with linked(answer) as (link, server):
        task = asyncio.ensure_future(link.request(modern_tool("t", meta={"progressToken": "p"}), back, modern_call()))
        assert (await back.until(1))[0].method == "notifications/progress"
        told.set()
        assert (await task).result == {"resultType": "complete"}
        await link.request(modern_tool("t"), back, modern_call())
    assert len(server.asked) == 2


@pytest.mark.parametrize("status", [200, 400, 404, 500])
async def test_an_error_answer_reaches_the_caller_whatever_its_status_and_id(status: int) -> None:
    body = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"Method not found","data":"x"}}'
    async with linked(answered(status, body, {"content_type": "application/json; charset=utf-8"})) as (link, _):
        reply = await link.request(modern("odd/method", id=5), Heard(), modern_call())
    assert (reply.id, reply.error) == (5, {"code": -32601, "message": "Method not found", "data": "x"})


@pytest.mark.parametrize(
    ("status", "headers", "says"),
    [
        (401, {}, "401: it does not accept the credentials"),
        (403, {}, "403: it does not accept the credentials"),
        (307, {"location": "https://elsewhere.example/mcp?key=canary"}, "307.*elsewhere.example/mcp'.*not followed"),
        (404, {}, "404"),
        (500, {}, "500"),
        (503, {}, "503"),
        (202, {}, "202"),
        (200, {}, "neither JSON nor an event stream"),
        (200, {"content_type": "text/html"}, "neither JSON nor an event stream"),
        (200, {"content_type": "application/json"}, "no JSON-RPC message"),
        (200, {"content_type": "application/json", "content_encoding": "gzip"}, "content encoding"),
    ],
)
async def test_an_answer_without_a_message_is_an_error_that_says_what_came(
    status: int, headers: dict[str, str], says: str
) -> None:
    async with linked(answered(status, b"<html>", headers)) as (link, server):
        with pytest.raises(HostGone, match=says) as caught:
            await link.request(modern_tool("t"), Heard(), modern_call())
    assert server.url in caught.value.message
    assert "canary" not in caught.value.message
    assert not isinstance(caught.value, HostBusy)


async def test_the_challenge_of_a_server_elsewhere_is_for_us_and_not_for_the_caller() -> None:
    async with linked(answered(401, b"", {"www_authenticate": "Bearer"})) as (link, _):
        with pytest.raises(NotLetIn) as caught:
            await link.request(modern_tool("t"), Heard(), modern_call())
    assert (caught.value.status, caught.value.challenge) == (401, None)


@pytest.mark.parametrize(("status", "headers"), [(429, {}), (429, {"retry_after": "3"}), (503, {"retry_after": "3"})])
async def test_a_server_that_is_busy_may_be_asked_later(status: int, headers: dict[str, str]) -> None:
    async with linked(answered(status, b"", headers)) as (link, _):
        with pytest.raises(HostBusy, match=str(status)):
            await link.request(modern_tool("t"), Heard(), modern_call())


@pytest.mark.parametrize("id_", [2, "1", None])
async def test_an_answer_to_something_else_is_no_answer(id_: object) -> None:
    async def answer(asked: Asked, peer: Peer) -> None:
        await peer.json({"jsonrpc": "2.0", "id": id_, "result": {}})

    async with linked(answer) as (link, _):
        with pytest.raises(HostGone):
            await link.request(modern_tool("t", id=1), Heard(), modern_call())


async def test_a_question_on_a_modern_stream_ends_the_call() -> None:
    async def answer(asked: Asked, peer: Peer) -> None:
        await peer.open_stream()
        await peer.event({"jsonrpc": "2.0", "id": 9, "method": "elicitation/create", "params": {}})
        await peer.gone()

    async with linked(answer) as (link, _):
        with pytest.raises(HostGone, match="elicitation/create"):
            await link.request(modern_tool("t"), Heard(), modern_call())


@pytest.mark.parametrize("how", ["end", "abort"])
async def test_a_stream_that_ends_without_an_answer_leaves_the_outcome_unknown(how: str) -> None:
    async def answer(asked: Asked, peer: Peer) -> None:
        await peer.open_stream()
        await peer.event(PROGRESS, id="1")
        await (peer.end_stream() if how == "end" else asyncio.sleep(0))
        if how == "abort":
            peer.close()

    async with linked(answer) as (link, server):
        with pytest.raises(HostGone, match="unknown"):
            await link.request(modern_tool("t"), Heard(), modern_call())
    assert len(server.asked) == 1  # the modern era resumes nothing


async def test_an_answer_over_the_limit_is_an_error() -> None:
    async def answer(asked: Asked, peer: Peer) -> None:
        await peer.result(asked, {"text": "x" * 5000})

    async with scripted(answer) as server:
        pool = Pool(server.address)
        link = ModernLink(Endpoint(server.url, b"/mcp", pool, max_answer_bytes=1000))
        with pytest.raises(HostGone, match="more than 1000 bytes"):
            await link.request(modern_tool("t"), Heard(), modern_call())
        await pool.close()


async def test_an_event_over_the_limit_is_an_error() -> None:
    async def answer(asked: Asked, peer: Peer) -> None:
        await peer.open_stream()
        await peer.event({"text": "x" * 5000})
        await peer.gone()

    async with scripted(answer) as server:
        pool = Pool(server.address)
        link = ModernLink(Endpoint(server.url, b"/mcp", pool, max_answer_bytes=1000))
        with pytest.raises(HostGone, match="cannot be read"):
            await link.request(modern_tool("t"), Heard(), modern_call())
        await pool.close()


# -- ends ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_stream", [False, True])
async def test_cancelling_a_call_closes_its_connection(is_stream: bool) -> None:
    """MCP 2026-07-28, Streamable HTTP: closing the response stream cancels the request."""
    left = asyncio.Event()

    async def answer(asked: Asked, peer: Peer) -> None:
        if is_stream:
            await peer.open_stream()
            await peer.event(PROGRESS)
        await peer.gone()
        left.set()

    back = Heard()
    async with linked(answer) as (link, server):
        task = asyncio.ensure_future(link.request(modern_tool("t"), back, modern_call()))
        await (back.until(1) if is_stream else server.until_asked("tools/call"))
        task.cancel()
        await left.wait()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_subscription_is_silent_as_long_as_it_likes_and_ends_with_its_completion() -> None:
    acknowledged: dict[str, Any] = {
        "jsonrpc": "2.0",
        "method": "notifications/subscriptions/acknowledged",
        "params": {},
    }
    quiet = asyncio.Event()

    async def answer(asked: Asked, peer: Peer) -> None:
        if asked.rpc != methods.LISTEN:
            await peer.gone()
            return
        await peer.open_stream()
        await peer.event(acknowledged)
        await quiet.wait()
        meta = {classify.META_SUBSCRIPTION: asked.json["id"]}
        await peer.event({"jsonrpc": "2.0", "id": asked.json["id"], "result": {"_meta": meta}})
        await peer.end_stream()

    back = Heard()
    async with linked(answer, Limits(head_s=0.05, read_s=0.05)) as (link, _):
        task = asyncio.ensure_future(link.request(modern(methods.LISTEN, notifications={}), back, modern_call()))
        await back.until(1)
        with pytest.raises(HostGone):  # an ordinary call runs into its time-out meanwhile
            await link.request(modern_tool("t"), Heard(), modern_call())
        quiet.set()
        assert (await task).result == {"_meta": {classify.META_SUBSCRIPTION: 1}}
