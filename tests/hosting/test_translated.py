"""A server that only knows the handshake, called by modern clients (design of the translation)."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import LoggingMessageNotification, LoggingMessageNotificationParams

from portside.hosting.around import AroundHost
from portside.hosting.base import Back, Link
from portside.hosting.python.v2 import PythonV2Host
from portside.hosting.translated.modern import ModernOverLegacy
from portside.wire import classify
from portside.wire.session import SessionRecord
from tests.gateway.servers import Gate, build
from tests.gateway.test_suspended import accepted, asked, retry
from tests.gateway.wired import Wired, fronted, text

pytestmark = pytest.mark.anyio


class HandshakeOnly(AroundHost):
    """A host that opens legacy links alone, and has modern exchanges translated. Counts the links it opened."""

    def __init__(self, server: MCPServer[Any]) -> None:
        super().__init__(PythonV2Host(server))
        self.opened = 0
        self.open_now = 0
        self.modern = ModernOverLegacy(self.legacy)

    async def legacy(self, session: SessionRecord, back: Back) -> Link:
        self.opened += 1
        return await self._host.open(session, back)

    async def open(self, session: SessionRecord | None, back: Back) -> Link:
        return self.modern if session is None else await self.legacy(session, back)

    async def close(self) -> None:
        await self.modern.close()
        await super().close()


@asynccontextmanager
async def translated(server: MCPServer[Any]) -> AsyncGenerator[tuple[Wired, HandshakeOnly]]:
    host = HandshakeOnly(server)
    async with fronted(host) as clients:
        yield clients, host


async def test_discovery_is_made_from_the_handshake() -> None:
    async with translated(build()) as (clients, _):
        reply = (await clients.modern("server/discover").until_over()).json["result"]
    assert reply["supportedVersions"] == ["2026-07-28"]
    assert reply["resultType"] == "complete"
    assert (reply["ttlMs"], reply["cacheScope"]) == (0, "private")
    assert "tools" in reply["capabilities"]
    assert reply["_meta"][classify.META_SERVER]["name"] == "tested"


async def test_lists_say_that_they_must_not_be_cached() -> None:
    async with translated(build()) as (clients, _):
        reply = (await clients.modern("tools/list").until_over()).json["result"]
    assert (reply["ttlMs"], reply["cacheScope"], reply["resultType"]) == (0, "private", "complete")
    assert {tool["name"] for tool in reply["tools"]} >= {"echo", "greet"}


async def test_calls_progress_and_errors_come_through() -> None:
    async with translated(build()) as (clients, _):
        counted = await clients.call("count", {"to": 2}, meta={"progressToken": "p"}).until_over()
        unknown = await clients.call("nope").until_over()
        missing = await clients.modern("resources/read", {"uri": "test://none"}).until_over()
        other = await clients.modern("no/such").until_over()
    assert [one["params"]["progressToken"] for one in counted.messages[:-1]] == ["p", "p"]
    assert text(counted.messages[-1]) == "counted 2"
    assert unknown.json["result"]["isError"] is True
    assert missing.json["error"]["code"] == -32602
    assert (other.status, other.json["error"]["code"]) == (404, -32601)


async def test_a_server_that_asks_twice_in_one_call_gets_the_right_answers() -> None:
    async with translated(build()) as (clients, _):
        questions, state = await asked(clients.call("greet"))
        questions, state = await asked(retry(clients, "greet", state, {next(iter(questions)): accepted("Ann")}))
        end = await retry(clients, "greet", state, {next(iter(questions)): accepted("Lee")}).until_over()
    assert text(end.messages[-1]) == "hello Ann Lee"


async def test_a_hundred_asking_calls_of_two_users_never_cross_nor_share_a_link_at_once() -> None:
    async def talk(clients: Wired, n: int) -> str:
        user = "ann" if n % 2 else "bob"
        questions, state = await asked(clients.call("greet", principal=user, id=n))
        answers = {next(iter(questions)): accepted(f"{user}{n}")}
        questions, state = await asked(retry(clients, "greet", state, answers, principal=user, id=n))
        answers = {next(iter(questions)): accepted(f"last{n}")}
        return text((await retry(clients, "greet", state, answers, principal=user, id=n).until_over()).messages[-1])

    async with translated(build()) as (clients, _):
        ends = await asyncio.gather(*(talk(clients, n) for n in range(60)))
    assert ends == [f"hello {'ann' if n % 2 else 'bob'}{n} last{n}" for n in range(60)]


async def test_a_link_that_may_know_roots_serves_nobody_else_where_nobody_says_who_they_are() -> None:
    async with translated(build()) as (clients, host):
        for _ in range(2):
            await clients.call("echo", {"text": "a"}, capabilities={"roots": {}}).until_over()
        assert host.opened == 2
        for _ in range(2):
            await clients.call("echo", {"text": "a"}, capabilities={}).until_over()
        assert host.opened == 3


async def test_links_are_used_again_by_clients_of_the_same_kind_only() -> None:
    async with translated(build()) as (clients, host):
        for _ in range(5):
            await clients.call("echo", {"text": "a"}, principal="bob").until_over()
        assert host.opened == 1
        await clients.call("echo", {"text": "a"}, principal="bob", capabilities={}).until_over()
        await clients.call("echo", {"text": "a"}, principal="ann").until_over()
        assert host.opened == 3


async def test_a_cancelled_calls_link_is_not_used_again() -> None:
    gate = Gate()
    async with translated(build(gate)) as (clients, host):
        response = clients.call("hold")
        await gate.entered.wait()
        response.leave()
        assert await gate.outcome == "cancelled"
        while clients.gateway.calls_in_flight:
            await asyncio.sleep(0.01)
        await clients.call("echo", {"text": "a"}).until_over()
        assert host.opened == 2


async def test_subscriptions_are_acknowledged_what_the_server_offers_in_its_handshake() -> None:
    """The SDK v2 offers no announcements to legacy clients unless told to."""
    async with translated(build()) as (clients, host):
        listening = clients.modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, id="s")
        await listening.until(1)
        assert host.opened == 1
        await clients.gateway.end_streams()
        await listening.until_over()
    assert [one.get("method") for one in listening.messages] == ["notifications/subscriptions/acknowledged", None]
    assert listening.messages[0]["params"]["notifications"] == {}


async def test_log_messages_are_passed_on_only_to_who_asks_for_them() -> None:
    server: MCPServer[Any] = MCPServer("logging")

    @server.tool()
    async def talk(ctx: Context[Any, Any]) -> str:
        note = LoggingMessageNotification(params=LoggingMessageNotificationParams(level="info", data="hi"))
        await ctx.session.send_notification(note, related_request_id=ctx.request_id)
        return "said"

    async with translated(server) as (clients, _):
        quiet = await clients.call("talk").until_over()
        loud = await clients.call("talk", meta={classify.META_LOG_LEVEL: "info"}).until_over()
    assert [one.get("method") for one in quiet.messages] == [None]
    assert [one.get("method") for one in loud.messages] == ["notifications/message", None]
