"""Legacy sessions with an upstream over HTTP: ids, questions, streams that break, sessions that are forgotten."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from portside.errors import HostBusy, HostGone
from portside.hosting.http.client import Pool
from portside.hosting.upstream.endpoint import Endpoint
from portside.hosting.upstream.legacy import LegacyLink
from portside.wire import message
from portside.wire.message import Message
from tests.upstream.scripted import Asked, Peer, Scripted, scripted
from tests.upstream.talking import (
    INITIALIZE,
    INITIALIZED,
    Heard,
    legacy_call,
    legacy_tool,
    record,
    shake_hands,
    text,
)

pytestmark = pytest.mark.anyio

Handler = Callable[[Asked, Peer], Awaitable[None]]


def result(asked: Asked, said: str = "fine") -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": asked.json["id"], "result": {"content": [{"type": "text", "text": said}]}}


async def fine(asked: Asked, peer: Peer) -> None:
    await peer.json(result(asked))


async def none_offered(asked: Asked, peer: Peer) -> None:
    await peer.answer(405)


class Sessions:
    """A legacy server: opens sessions, knows which are open, and lets a test answer calls and streams."""

    def __init__(self, call: Handler = fine, stream: Handler = none_offered, *, keeps: bool = True) -> None:
        self.call = call
        self.stream = stream
        self.keeps = keeps
        self.open: set[str] = set()
        self.count = 0

    async def __call__(self, asked: Asked, peer: Peer) -> None:
        session = asked.headers.get("mcp-session-id", "")
        if asked.rpc == "initialize":
            await self._initialize(asked, peer)
        elif self.keeps and session not in self.open:
            error = {"code": -32600, "message": "Session not found"}
            await peer.json({"jsonrpc": "2.0", "id": None, "error": error}, 404 if session else 400)
        elif asked.method == "GET":
            await self.stream(asked, peer)
        elif asked.method == "DELETE":
            self.open.discard(session)
            await peer.answer(200)
        elif "id" not in asked.json or asked.rpc == "response":
            await peer.answer(202)
        else:
            await self.call(asked, peer)

    async def _initialize(self, asked: Asked, peer: Peer) -> None:
        self.count += 1
        if self.keeps:
            self.open.add(f"s{self.count}")
            await peer.result(asked, INITIALIZED, mcp_session_id=f"s{self.count}")
        else:
            await peer.result(asked, INITIALIZED)


@asynccontextmanager
async def linked(sessions: Sessions, back: Heard | None = None) -> AsyncGenerator[tuple[LegacyLink, Scripted]]:
    """A link that has shaken hands."""
    async with scripted(sessions) as server:
        pool = Pool(server.address)
        link = LegacyLink(Endpoint(server.url, b"/mcp", pool), record(), back or Heard())
        try:
            async with asyncio.timeout(20):
                await shake_hands(link)
                yield link, server
        finally:
            await link.close()
            await pool.close()


def calls(server: Scripted, method: str = "tools/call") -> list[Asked]:
    return [asked for asked in server.asked if asked.rpc == method]


# -- a session from its beginning to its end ----------------------------------------------------


async def test_the_handshake_is_the_clients_own_and_the_session_is_ours_to_end() -> None:
    sessions = Sessions()
    async with linked(sessions) as (link, server):
        assert text(await link.request(legacy_tool("t", id="a"), Heard(), legacy_call())) == "fine"
        hello, initialized, call = (
            calls(server, name)[0] for name in ("initialize", "notifications/initialized", "tools/call")
        )
        await server.until_asked("GET")
        await link.close()
    assert hello.json["params"] == INITIALIZE
    assert "mcp-session-id" not in hello.headers
    for asked in (initialized, call, calls(server, "GET")[0], calls(server, "DELETE")[0]):
        assert (asked.headers["mcp-session-id"], asked.headers["mcp-protocol-version"]) == ("s1", "2025-11-25")
    assert sessions.open == set()
    assert server.methods.count("DELETE") == 1


async def test_a_server_without_sessions_is_called_without_one_and_nothing_is_ended() -> None:
    async with linked(Sessions(keeps=False)) as (link, server):
        await link.request(legacy_tool("t"), Heard(), legacy_call())
        await link.close()
    assert all("mcp-session-id" not in asked.headers for asked in server.asked)
    assert "DELETE" not in server.methods


@pytest.mark.parametrize("id_", ["a b", "", "x" * 1025, "\xe4"])
async def test_a_session_id_that_is_none_is_refused(id_: str) -> None:
    async def answer(asked: Asked, peer: Peer) -> None:
        await peer.result(asked, INITIALIZED, mcp_session_id=id_)

    async with scripted(answer) as server:
        pool = Pool(server.address)
        link = LegacyLink(Endpoint(server.url, b"/mcp", pool), record(), Heard())
        with pytest.raises(HostGone, match="session id"):
            await link.request(message.request(0, "initialize", INITIALIZE), Heard(), legacy_call())
        await link.close()
        await pool.close()


async def test_a_refused_handshake_is_the_clients_answer() -> None:
    async def answer(asked: Asked, peer: Peer) -> None:
        error = {"code": -32602, "message": "no"}
        await peer.json({"jsonrpc": "2.0", "id": asked.json["id"], "error": error}, 400)

    async with scripted(answer) as server:
        pool = Pool(server.address)
        link = LegacyLink(Endpoint(server.url, b"/mcp", pool), record(), Heard())
        reply = await link.request(message.request("x", "initialize", INITIALIZE), Heard(), legacy_call())
        await link.close()
        await pool.close()
    assert (reply.id, reply.error) == ("x", {"code": -32602, "message": "no"})


async def test_a_server_with_too_many_sessions_is_busy() -> None:
    async def answer(asked: Asked, peer: Peer) -> None:
        await peer.answer(503, retry_after="1")

    async with scripted(answer) as server:
        pool = Pool(server.address)
        link = LegacyLink(Endpoint(server.url, b"/mcp", pool), record(), Heard())
        with pytest.raises(HostBusy):
            await link.request(message.request("x", "initialize", INITIALIZE), Heard(), legacy_call())
        await pool.close()


# -- calls --------------------------------------------------------------------------------------


async def test_ids_and_progress_tokens_of_many_calls_never_meet() -> None:
    everybody = asyncio.Event()
    arrived = 0

    async def call(asked: Asked, peer: Peer) -> None:
        nonlocal arrived
        arrived += 1
        if arrived == 50:
            everybody.set()
        await everybody.wait()
        params = asked.json["params"]
        await peer.open_stream()
        token = params["_meta"]["progressToken"]
        await peer.event(
            {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": 1}}
        )
        await peer.event(result(asked, params["arguments"]["said"]))
        await peer.end_stream()

    async def one(link: LegacyLink, number: int) -> None:
        back, id_ = Heard(), f"{number}" if number % 2 else number
        asked = legacy_tool("t", id=id_, meta={"progressToken": f"own-{number}"}, said=f"said-{number}")
        reply = await link.request(asked, back, legacy_call())
        assert (reply.id, text(reply)) == (id_, f"said-{number}")
        assert [told.params for told in back.told] == [{"progressToken": f"own-{number}", "progress": 1}]

    async with linked(Sessions(call)) as (link, server):
        await asyncio.gather(*(one(link, number) for number in range(50)))
    ids = [asked.json["id"] for asked in server.asked if "id" in (asked.json if asked.body else {})]
    assert len(ids) == len({str(id_) for id_ in ids})
    tokens = [asked.json["params"]["_meta"]["progressToken"] for asked in calls(server)]
    assert len(set(tokens)) == 50


async def test_an_id_that_comes_back_as_a_string_is_understood() -> None:
    async def call(asked: Asked, peer: Peer) -> None:
        await peer.json({**result(asked), "id": str(asked.json["id"])})

    async with linked(Sessions(call)) as (link, _):
        assert (await link.request(legacy_tool("t", id=7), Heard(), legacy_call())).id == 7


async def test_an_answer_to_something_else_is_no_answer() -> None:
    async def call(asked: Asked, peer: Peer) -> None:
        await peer.json({**result(asked), "id": 999})

    async with linked(Sessions(call)) as (link, _):
        with pytest.raises(HostGone, match="without a response to it"):
            await link.request(legacy_tool("t"), Heard(), legacy_call())


async def test_a_question_goes_to_the_client_of_its_call_and_the_answer_back() -> None:
    answered = asyncio.Event()

    async def call(asked: Asked, peer: Peer) -> None:
        await peer.open_stream()
        await peer.event({"jsonrpc": "2.0", "id": "q-1", "method": "elicitation/create", "params": {"message": "?"}})
        await answered.wait()
        await peer.event(result(asked, "thanks"))
        await peer.end_stream()

    async def reply(question: Message) -> Message:
        return message.response("another id", {"action": "accept"})

    back = Heard(reply)
    async with linked(Sessions(call)) as (link, server):
        task = asyncio.ensure_future(link.request(legacy_tool("t"), back, legacy_call()))
        posted = await server.until_asked("response")
        answered.set()
        assert text(await task) == "thanks"
    assert posted.json == {"jsonrpc": "2.0", "id": "q-1", "result": {"action": "accept"}}
    assert posted.headers["mcp-session-id"] == "s1"
    assert back.asked[0].params == {"message": "?"}


async def test_a_question_nobody_can_answer_is_answered_with_an_error() -> None:
    async def call(asked: Asked, peer: Peer) -> None:
        await peer.open_stream()
        await peer.event({"jsonrpc": "2.0", "id": 4, "method": "roots/list"})
        await peer.gone()

    async with linked(Sessions(call)) as (link, server):
        task = asyncio.ensure_future(link.request(legacy_tool("t"), Heard(), legacy_call()))
        posted = await server.until_asked("response")
        task.cancel()
    assert (posted.json["id"], posted.json["error"]["code"]) == (4, -32600)


@pytest.mark.parametrize("by", ["server", "client"])
async def test_a_question_is_withdrawn_with_its_call_and_when_the_server_cancels_it(by: str) -> None:
    being_asked, withdrawn = asyncio.Event(), asyncio.Event()

    async def call(asked: Asked, peer: Peer) -> None:
        await peer.open_stream()
        await peer.event({"jsonrpc": "2.0", "id": 4, "method": "sampling/createMessage", "params": {}})
        await being_asked.wait()
        if by == "server":
            await peer.event({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 4}})
        await peer.gone()

    async def reply(question: Message) -> Message:
        being_asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            withdrawn.set()
        raise AssertionError

    async with linked(Sessions(call)) as (link, server):
        task = asyncio.ensure_future(link.request(legacy_tool("t"), Heard(reply), legacy_call()))
        await being_asked.wait()
        if by == "client":
            task.cancel()
        await withdrawn.wait()
        task.cancel()
    assert "response" not in server.methods


async def test_cancelling_a_call_tells_the_server_its_own_id() -> None:
    async def call(asked: Asked, peer: Peer) -> None:
        await peer.gone()

    async with linked(Sessions(call)) as (link, server):
        task = asyncio.ensure_future(link.request(legacy_tool("t", id="mine"), Heard(), legacy_call()))
        asked = await server.until_asked("tools/call")
        task.cancel()
        told = await server.until_asked("notifications/cancelled")
    assert told.json["params"]["requestId"] == asked.json["id"]
    assert server.methods[-1] == "DELETE"  # the session ends after the server was told


async def test_the_clients_own_cancellation_is_passed_on_once_with_its_reason() -> None:
    async def call(asked: Asked, peer: Peer) -> None:
        await peer.gone()

    async with linked(Sessions(call)) as (link, server):
        task = asyncio.ensure_future(link.request(legacy_tool("t", id="mine"), Heard(), legacy_call()))
        asked = await server.until_asked("tools/call")
        task.cancel()
        params = {"requestId": "mine", "reason": "changed my mind"}
        await link.notify(message.notification("notifications/cancelled", params), legacy_call())
        await link.notify(message.notification("notifications/cancelled", {"requestId": "unknown"}), legacy_call())
    told = calls(server, "notifications/cancelled")
    assert [one.json["params"] for one in told] == [{"requestId": asked.json["id"], "reason": "changed my mind"}]


# -- streams that break -------------------------------------------------------------------------


async def test_a_stream_that_breaks_after_an_event_is_resumed_where_it_was() -> None:
    """MCP 2025-11-25, Transports, Resumability; SEP-1699."""
    kept: list[Asked] = []

    async def call(asked: Asked, peer: Peer) -> None:
        kept.append(asked)
        await peer.open_stream()
        await peer.event(id="e-1", retry=10)
        await peer.end_stream()

    async def stream(asked: Asked, peer: Peer) -> None:
        last = asked.headers.get("last-event-id")
        if last is None:
            await peer.answer(405)
        elif last == "e-1":  # once more nothing but a new place to go on from, and a broken connection
            await peer.open_stream()
            await peer.event(id="e-2")
            peer.close()
        else:
            await peer.open_stream()
            await peer.event(
                {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "late"}}, id="e-3"
            )
            await peer.event(result(kept[0], "resumed"), id="e-4")
            await peer.end_stream()

    back = Heard()
    async with linked(Sessions(call, stream)) as (link, server):
        assert text(await link.request(legacy_tool("t"), back, legacy_call())) == "resumed"
    assert [asked.headers.get("last-event-id") for asked in calls(server, "GET")] == [None, "e-1", "e-2"]
    assert len(calls(server)) == 1
    assert [told.method for told in back.told] == ["notifications/message"]


async def test_a_stream_that_breaks_without_an_id_leaves_the_outcome_unknown() -> None:
    async def call(asked: Asked, peer: Peer) -> None:
        await peer.open_stream()
        await peer.event({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "x"}})
        peer.close()

    async with linked(Sessions(call)) as (link, server):
        with pytest.raises(HostGone, match="unknown"):
            await link.request(legacy_tool("t"), Heard(), legacy_call())
    assert len(calls(server)) == 1


async def test_a_stream_the_server_cannot_resume_leaves_the_outcome_unknown() -> None:
    async def call(asked: Asked, peer: Peer) -> None:
        await peer.open_stream()
        await peer.event(id="e-1", retry=10)
        await peer.end_stream()

    async with linked(Sessions(call)) as (link, _):
        with pytest.raises(HostGone, match=r"405 to resuming.*unknown"):
            await link.request(legacy_tool("t"), Heard(), legacy_call())


async def test_the_standalone_stream_is_heard_and_opened_again_after_its_last_event() -> None:
    async def stream(asked: Asked, peer: Peer) -> None:
        await peer.open_stream()
        if asked.headers.get("last-event-id") is None:
            told = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
            await peer.event(told, id="a-1", retry=10)
            await peer.end_stream()
        else:
            await peer.event({"jsonrpc": "2.0", "id": 1, "method": "roots/list"}, id="a-2")
            await peer.event({"jsonrpc": "2.0", "id": 2, "method": "ping"}, id="a-3")
            await peer.gone()

    async def reply(question: Message) -> Message:
        return message.response(0, {"roots": []})

    back = Heard(reply)
    async with linked(Sessions(stream=stream), back) as (_, server):
        assert (await back.until(1))[0].method == "notifications/tools/list_changed"
        await server.until_asked("response", 2)
    answers = {asked.json["id"]: asked.json["result"] for asked in calls(server, "response")}
    assert answers == {1: {"roots": []}, 2: {}}
    assert [asked.headers.get("last-event-id") for asked in calls(server, "GET")] == [None, "a-1"]


async def test_progress_on_the_standalone_stream_finds_its_call() -> None:
    tokens: asyncio.Queue[object] = asyncio.Queue()
    heard = asyncio.Event()

    async def call(asked: Asked, peer: Peer) -> None:
        tokens.put_nowait(asked.json["params"]["_meta"]["progressToken"])
        await heard.wait()
        await peer.json(result(asked))

    async def stream(asked: Asked, peer: Peer) -> None:
        await peer.open_stream()
        params = {"progressToken": await tokens.get(), "progress": 1}
        await peer.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        await peer.gone()

    back = Heard()
    async with linked(Sessions(call, stream)) as (link, _):
        asked = legacy_tool("t", meta={"progressToken": "mine"})
        task = asyncio.ensure_future(link.request(asked, back, legacy_call()))
        assert (await back.until(1))[0].params == {"progressToken": "mine", "progress": 1}
        heard.set()
        await task


# -- sessions the server forgot -----------------------------------------------------------------


async def test_a_forgotten_session_is_opened_anew_and_the_call_repeated_once() -> None:
    sessions = Sessions()
    async with linked(sessions) as (link, server):
        for asked in (
            message.request(1, "logging/setLevel", {"level": "debug"}),
            message.request(2, "resources/subscribe", {"uri": "a://1"}),
            message.request(3, "resources/subscribe", {"uri": "a://2"}),
            message.request(4, "resources/unsubscribe", {"uri": "a://1"}),
        ):
            await link.request(asked, Heard(), legacy_call())
        sessions.open.clear()
        before = len(server.asked)
        replies = await asyncio.gather(
            *(link.request(legacy_tool("t", id=n), Heard(), legacy_call()) for n in range(10, 15))
        )
        assert [reply.id for reply in replies] == [10, 11, 12, 13, 14]
        assert sessions.count == 2
        after = [asked for asked in server.asked[before:] if asked.headers.get("mcp-session-id") != "s1"]
        restored = [asked.rpc for asked in after if asked.method == "POST"][:4]
        assert restored == ["initialize", "notifications/initialized", "logging/setLevel", "resources/subscribe"]
        assert after[0].json["params"] == INITIALIZE
        assert [one.json["params"]["uri"] for one in after if one.rpc == "resources/subscribe"] == ["a://2"]
    assert sessions.open == set()
    assert [asked.headers["mcp-session-id"] for asked in calls(server, "DELETE")] == ["s2"]


async def test_a_method_the_server_does_not_know_is_no_forgotten_session() -> None:
    async def call(asked: Asked, peer: Peer) -> None:
        error = {"code": -32601, "message": "Method not found"}
        await peer.json({"jsonrpc": "2.0", "id": asked.json["id"], "error": error}, 404)

    sessions = Sessions(call)
    async with linked(sessions) as (link, _):
        reply = await link.request(message.request(1, "odd/method"), Heard(), legacy_call())
    assert reply.error == {"code": -32601, "message": "Method not found"}
    assert sessions.count == 1


async def test_a_server_that_forgets_every_session_is_not_asked_for_ever() -> None:
    async def call(asked: Asked, peer: Peer) -> None:
        await peer.answer(404)

    sessions = Sessions(call)
    async with linked(sessions) as (link, server):
        with pytest.raises(HostGone, match="404"):
            await link.request(legacy_tool("t"), Heard(), legacy_call())
    assert (sessions.count, len(calls(server))) == (2, 2)


async def test_a_session_taken_over_from_elsewhere_is_opened_by_its_first_call() -> None:
    taken = replace(record(), is_initialized=True, log_level="info", subscriptions=frozenset({"a://1"}))
    async with scripted(Sessions()) as server, asyncio.timeout(20):
        pool = Pool(server.address)
        link = LegacyLink(Endpoint(server.url, b"/mcp", pool), taken, Heard())
        assert text(await link.request(legacy_tool("t"), Heard(), legacy_call())) == "fine"
        await link.close()
        await pool.close()
    opened = ["initialize", "notifications/initialized", "logging/setLevel", "resources/subscribe", "tools/call"]
    assert [asked.rpc for asked in server.asked if asked.method == "POST"] == opened
    assert server.asked[0].json["params"] == INITIALIZE


async def test_half_a_handshake_is_made_whole_by_the_next_call() -> None:
    sessions = Sessions()

    async def answer(asked: Asked, peer: Peer) -> None:
        if asked.rpc == "notifications/initialized" and sessions.count == 1:
            await peer.answer(500)
        else:
            await sessions(asked, peer)

    async with scripted(answer) as server, asyncio.timeout(20):
        pool = Pool(server.address)
        link = LegacyLink(Endpoint(server.url, b"/mcp", pool), record(), Heard())
        await shake_hands(link)
        assert text(await link.request(legacy_tool("t"), Heard(), legacy_call())) == "fine"
        await link.close()
        await pool.close()
    assert sessions.count == 2
    assert calls(server)[0].headers["mcp-session-id"] == "s2"


async def test_a_handshake_refused_the_second_time_ends_the_call_and_the_next_one_tries_again() -> None:
    sessions = Sessions()
    is_full = False

    async def answer(asked: Asked, peer: Peer) -> None:
        if asked.rpc == "initialize" and is_full:
            await peer.answer(503)
        else:
            await sessions(asked, peer)

    async with scripted(answer) as server, asyncio.timeout(20):
        pool = Pool(server.address)
        link = LegacyLink(Endpoint(server.url, b"/mcp", pool), record(), Heard())
        await shake_hands(link)
        sessions.open.clear()
        is_full = True
        with pytest.raises(HostGone, match="503"):
            await link.request(legacy_tool("t"), Heard(), legacy_call())
        is_full = False
        assert text(await link.request(legacy_tool("t"), Heard(), legacy_call())) == "fine"
        await link.close()
        await pool.close()


async def test_after_the_end_nothing_is_sent() -> None:
    async with linked(Sessions()) as (link, server):
        await link.close()
        before = len(server.asked)
        with pytest.raises(HostGone, match="ended"):
            await link.request(legacy_tool("t"), Heard(), legacy_call())
        await link.notify(message.notification("notifications/roots/list_changed"), legacy_call())
        await link.close()
    assert len(server.asked) == before
