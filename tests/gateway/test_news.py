"""Announcements reach every listener at every replica: two gateways, one shared state, servers of every kind."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Context as FastmcpContext
from fastmcp import FastMCP
from mcp.server import Server, ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus, ServerEvent, ToolsListChanged
from mcp_types import CallToolRequestParams, CallToolResult, EmptyResult, SubscribeRequestParams

from portside.auth.scopes import Policy
from portside.errors import StateUnavailable
from portside.gateway.bulletins import Press, Told
from portside.hosting.base import Description, Host
from portside.hosting.eras import both_eras
from portside.hosting.python.fastmcp_v4 import FastmcpHost
from portside.hosting.python.v2 import PythonV2Host
from portside.hosting.stdio.host import StdioHost
from portside.hosting.stdio.options import StdioOptions
from portside.hosting.stdio.spec import ChildSpec, allowed
from portside.state.base import News
from portside.state.connect import redis_state
from portside.state.memory import MemoryNews
from portside.wire import message
from tests.gateway import announcing
from tests.gateway.replicas import SECRETS, listening, replica, shared_state, told
from tests.gateway.wired import Client, Response, Wired
from tests.redis_servers import RedisServer, redis_server
from tests.translation.hosts import EVERYTHING, NewServer, OldServer, until

pytestmark = pytest.mark.anyio

EVERY_LIST = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}
GROWN = ("tools/list_changed", None)
LAST = ("resources/updated", "x://last")
"""What a test announces at its end: that it is the next thing shows that nothing came twice."""

FOLDER = Path(__file__).parent


@asynccontextmanager
async def pair(
    build: Callable[[], Host], *, policy: Policy | None = None, news: News | None = None
) -> AsyncGenerator[tuple[Wired, Wired]]:
    """Yield clients of two replicas, each in front of a server of its own."""
    async with (
        shared_state() as state,
        replica(build(), state, "a", policy=policy, news=news) as a,
        replica(build(), state, "b", policy=policy, news=news) as b,
    ):
        yield a, b


def v2() -> Host:
    return PythonV2Host(announcing.build())


def child(file: str) -> Callable[[], Host]:
    """Return what builds hosts of a test server on stdio."""
    environment = {**allowed(os.environ), "PYTHONPATH": str(FOLDER.parents[1])}
    command = (sys.executable, str(FOLDER / file))
    spec = ChildSpec("announcing", command, environment, stdin_grace_s=1, term_grace_s=0.5)
    return lambda: both_eras(StdioHost(spec, StdioOptions(probe_timeout_s=5.0)))


async def ended(clients: Wired, streams: Sequence[Response], expected: list[tuple[str, str | None]]) -> None:
    """Announce the last thing and see what each stream brought up to it."""
    await clients.call("touch", {"uri": "x://last"}).until_over()
    for stream in streams:
        await until(lambda stream=stream: LAST in told(stream))
        assert told(stream) == [*expected, LAST]


async def repeated(action: Callable[[], Response], condition: Callable[[], bool]) -> None:
    """Do something again and again until a condition holds; for what other tasks must be ready for."""
    async with asyncio.timeout(15):
        while not condition():
            await action().until_over()


async def is_empty(news: News) -> bool:
    """Say whether no announcement was ever carried by it; of replicas that ended, which publish what they gathered."""
    press = Press("reader", SECRETS)
    opened = [press.open(sealed) for sealed in (await news.receive("0", wait_ms=0))[1]]
    return not any(isinstance(found[1], Told) for found in opened if found is not None)


async def opened(client: Client) -> Response:
    """Return the standalone stream of a session."""
    stream = client.get()
    await stream.until_started()
    return stream


# -- the SDK v2 -------------------------------------------------------------------------------------


async def test_change_reaches_the_subscriptions_of_every_replica_once_with_their_own_ids() -> None:
    async with pair(v2) as (a, b):
        wanted = {**EVERY_LIST, "resourceSubscriptions": ["x://last"]}
        streams = [await listening(a, wanted), await listening(a, wanted, id="y"), await listening(b, wanted, id="z")]
        await a.call("grow").until_over()
        await until(lambda: GROWN in told(streams[2]))
        await ended(b, streams, [GROWN])
        ids = [
            [one["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] for one in s.messages] for s in streams
        ]
        assert ids == [[7, 7, 7], ["y", "y", "y"], ["z", "z", "z"]]


async def test_subscription_hears_only_what_it_asked_for() -> None:
    async with pair(v2) as (a, b):
        stream = await listening(b, {"promptsListChanged": True, "resourceSubscriptions": ["x://1", "x://last"]})
        await a.call("grow").until_over()
        await a.call("touch", {"uri": "x://2"}).until_over()
        await a.call("touch", {"uri": "x://1"}).until_over()
        await until(lambda: len(told(stream)) == 1)
        await ended(a, [stream], [("resources/updated", "x://1")])


async def test_bus_that_the_user_brought_stays_in_use() -> None:
    bus, heard = InMemorySubscriptionBus(), list[ServerEvent]()
    bus.subscribe(heard.append)
    buses = iter([bus, None])
    async with pair(lambda: PythonV2Host(announcing.build(next(buses)))) as (_, b):
        stream = await listening(b, EVERY_LIST)
        await bus.publish(ToolsListChanged())
        await until(lambda: told(stream) == [GROWN])
        assert heard == [ToolsListChanged()]


class FarBus:
    """A bus of the user's own that reaches every replica by itself."""

    def __init__(self) -> None:
        self._inner = InMemorySubscriptionBus()

    async def publish(self, event: ServerEvent) -> None:
        await self._inner.publish(event)

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        return self._inner.subscribe(listener)


async def test_events_on_a_bus_of_the_users_own_kind_are_not_carried_a_second_time() -> None:
    bus, news = FarBus(), MemoryNews()
    async with pair(lambda: PythonV2Host(announcing.build(bus)), news=news) as (a, b):
        streams = [await listening(a, EVERY_LIST), await listening(b, EVERY_LIST)]
        await a.call("grow").until_over()
        for stream in streams:
            await until(lambda stream=stream: told(stream) == [GROWN])
    assert await is_empty(news)


Context = ServerRequestContext[Any, Any]


def lowlevel() -> Host:
    """Return a server whose sessions subscribe, and which tells each of them itself."""
    sessions: dict[str, list[ServerSession]] = {}

    async def subscribe(ctx: Context, params: SubscribeRequestParams) -> EmptyResult:
        sessions.setdefault(str(params.uri), []).append(ctx.session)
        return EmptyResult()

    async def call(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
        if params.name == "grow":
            await ctx.session.send_tool_list_changed()
        uri = str((params.arguments or {}).get("uri"))
        for session in sessions.get(uri, ()):
            await session.send_resource_updated(uri)
        return CallToolResult(content=[])

    server: Server[Any] = Server("low", on_call_tool=call)
    server.add_request_handler("resources/subscribe", SubscribeRequestParams, subscribe)
    return PythonV2Host(server)


async def test_update_reaches_sessions_that_subscribed_at_another_replica_only() -> None:
    """The server object of the first replica knows of no subscriber: that replica subscribes for the other one."""
    async with pair(lowlevel) as (a, b):
        here, there = await a.session(), await b.session()
        await there.request("resources/subscribe", {"uri": "x://last"}).until_over()
        stream = await opened(there)
        await repeated(lambda: here.call("touch", {"uri": "x://last"}), lambda: LAST in told(stream))
        assert set(told(stream)) == {LAST}


async def test_list_that_changed_for_one_session_is_that_sessions_own_matter() -> None:
    """Ours: objects of this process tell a session so of tools that only this session has."""
    async with pair(lowlevel) as (a, b):
        here, there = await a.session(), await b.session()
        for client in (here, there):
            await client.request("resources/subscribe", {"uri": "x://last"}).until_over()
        streams = [await opened(here), await opened(there)]
        await here.call("grow").until_over()
        await here.call("touch", {"uri": "x://last"}, id=2).until_over()
        for stream in streams:
            await until(lambda stream=stream: LAST in told(stream))
        assert (told(streams[0])[0], told(streams[1])[0]) == (GROWN, LAST)


def fastmcp() -> Host:
    """Return a fastmcp 4 server with a tool that shows its session more tools."""
    server: FastMCP[Any] = FastMCP("shown")

    @server.tool
    async def grow(ctx: FastmcpContext) -> str:
        await ctx.enable_components(tags={"more"})
        return "grown"

    return FastmcpHost(server)


async def test_tools_that_fastmcp_shows_one_session_are_announced_to_that_one() -> None:
    news = MemoryNews()
    async with pair(fastmcp, news=news) as (a, b):
        here, there = await a.session(), await b.session()
        streams = [await opened(here), await opened(there)]
        grown = await here.call("grow").until_over()
        await until(lambda: GROWN in [*told(grown), *told(streams[0])])
    assert told(streams[1]) == []
    assert await is_empty(news)


# -- children ---------------------------------------------------------------------------------------


async def test_child_nobody_listens_to_here_is_heard_by_listeners_elsewhere() -> None:
    async with pair(child("announcing.py")) as (a, b):
        stream = await listening(b, {**EVERY_LIST, "resourceSubscriptions": ["x://1"]})

        await repeated(lambda: a.call("grow"), lambda: GROWN in told(stream))
        updated = ("resources/updated", "x://1")
        await repeated(lambda: a.call("touch", {"uri": "x://1"}), lambda: updated in told(stream))


async def test_childs_change_reaches_the_sessions_of_every_replica_each_once() -> None:
    async with pair(child("announcing_child.py")) as (a, b):
        clients = [await a.session(), await a.session(), await b.session()]
        streams = [await opened(client) for client in clients]
        for client in clients:
            await client.request("resources/subscribe", {"uri": "x://last"}).until_over()
        # Whoever calls hears it on the stream of the call, so on no other (MCP 2025-11-25, Streamable HTTP).
        grown = await clients[0].call("grow").until_over()
        for stream in streams[1:]:
            await until(lambda stream=stream: GROWN in told(stream))
        touched = await clients[2].call("touch", {"uri": "x://last"}, id=2).until_over()
        for stream in streams[:2]:
            await until(lambda stream=stream: LAST in told(stream))
        assert (told(grown), told(touched)) == ([GROWN], [LAST])
        assert list(map(told, streams)) == [[LAST], [GROWN, LAST], [GROWN]]


async def test_session_hears_what_a_modern_call_changed() -> None:
    async with pair(child("announcing_child.py")) as (a, b):
        stream = await opened(await b.session())
        await a.call("grow").until_over()
        await until(lambda: told(stream) == [GROWN])


class OwnChild(NewServer):
    """A modern server of each replica's own, which says how long its list of tools may be kept."""

    @property
    def description(self) -> Description:
        return replace(super().description, is_single=True)


async def test_kept_answers_are_dropped_when_another_replica_announces() -> None:
    servers = [OwnChild(), OwnChild()]
    asked: list[int] = []

    async def tools(message: Any, back: Any) -> dict[str, Any]:
        asked.append(1)
        return {"tools": [], "ttlMs": 3_600_000, "cacheScope": "public"}

    servers[1].handlers["tools/list"] = tools
    hosts = iter(servers)
    async with pair(lambda: both_eras(next(hosts))) as (_, b):
        await b.modern("tools/list").until_over()
        await b.modern("tools/list").until_over()
        assert len(asked) == 1
        await until(lambda: bool(servers[0].open_streams))
        await servers[0].tell("notifications/tools/list_changed")

        await repeated(lambda: b.modern("tools/list"), lambda: len(asked) == 2)


async def test_server_for_all_replicas_is_heard_by_each_and_carried_by_none() -> None:
    news = MemoryNews()
    fronts = [OldServer(EVERYTHING), OldServer(EVERYTHING)]
    hosts = iter(fronts)
    async with pair(lambda: both_eras(next(hosts)), news=news) as (a, b):
        streams = [await opened(await a.session()), await opened(await b.session())]
        for front in fronts:
            for link in front.open_links:
                await link.back.notify(message.notification("notifications/tools/list_changed"))
        for stream in streams:
            await until(lambda stream=stream: told(stream) == [GROWN])
    assert await is_empty(news)


# -- who may hear -----------------------------------------------------------------------------------


async def test_listener_hears_nothing_of_a_resource_it_may_not_read() -> None:
    """Ours: a subscription to a folder covers what is in it, whoever may read the folder."""
    policy = Policy(resources={"x://box/secret": frozenset({"secrets"})})
    async with pair(v2, policy=policy) as (a, b):
        wanted = {"resourceSubscriptions": ["x://box", "x://last"]}
        streams = [await listening(a, wanted), await listening(b, wanted)]
        await a.call("touch", {"uri": "x://box/secret"}).until_over()
        await a.call("touch", {"uri": "x://box/open"}).until_over()
        for stream in streams:
            await until(lambda stream=stream: len(told(stream)) == 1)
        await ended(a, streams, [("resources/updated", "x://box/open")])


# -- shared state away ------------------------------------------------------------------------------


class Cut(MemoryNews):
    """News that can be cut off, and lose what was published."""

    def __init__(self) -> None:
        super().__init__()
        self.loses = self.is_read_only = False
        self.lost = 0
        self.refused: list[str] = []
        self._is_away = False
        self._changed = asyncio.Condition()

    async def cut(self) -> None:
        """Refuse everything from now on."""
        async with self._changed:
            self._is_away = True
            self._changed.notify_all()

    def mend(self) -> None:
        """Take everything from now on."""
        self._is_away = self.is_read_only = False

    async def publish(self, data: bytes) -> None:
        if self._is_away or self.is_read_only:
            self.refused.append("publish")
            raise StateUnavailable("cut off")
        if self.loses:
            self.lost += 1
            return
        async with self._changed:
            await super().publish(data)
            self._changed.notify_all()

    async def receive(self, after: str | None, *, wait_ms: int) -> tuple[str, Sequence[bytes]]:
        async with self._changed:
            while True:
                if self._is_away:
                    self.refused.append("receive")
                    raise StateUnavailable("cut off")
                place, found = await super().receive(after, wait_ms=0)
                if found or after is None:
                    return place, found
                await self._changed.wait()


async def test_local_listeners_hear_while_state_is_away_and_everybody_looks_again_afterwards() -> None:
    news = Cut()
    async with pair(v2, news=news) as (a, b):
        wanted = {"toolsListChanged": True, "resourceSubscriptions": ["x://1", "x://2"]}
        here, there = await listening(a, wanted), await listening(b, wanted)
        await news.cut()
        await a.call("grow").until_over()
        await until(lambda: told(here) == [GROWN])
        await until(lambda: "publish" in news.refused and news.refused.count("receive") > 4)  # of both, then
        news.mend()
        everything = {GROWN, ("resources/updated", "x://1"), ("resources/updated", "x://2")}
        for stream in (here, there):
            await until(lambda stream=stream: set(told(stream)) == everything)


async def test_announcement_that_could_not_be_published_is_published_later_and_loses_nothing() -> None:
    news = Cut()
    async with pair(v2, news=news) as (a, b):
        stream = await listening(b, {**EVERY_LIST, "resourceSubscriptions": ["x://1", "x://last"]})
        await a.call("touch", {"uri": "x://1"}).until_over()
        await until(lambda: len(told(stream)) == 1)
        news.is_read_only = True
        await a.call("grow").until_over()
        await until(lambda: len(news.refused) > 1)
        news.mend()
        await until(lambda: len(told(stream)) == 2)
        await ended(a, [stream], [("resources/updated", "x://1"), GROWN])


async def test_lost_bulletins_make_everybody_look_again() -> None:
    news = Cut()
    async with pair(v2, news=news) as (a, b):
        stream = await listening(b, {"promptsListChanged": True, "resourceSubscriptions": ["x://1"]})
        await a.call("touch", {"uri": "x://1"}).until_over()
        await until(lambda: told(stream) == [("resources/updated", "x://1")])
        news.loses = True
        await a.call("touch", {"uri": "x://1"}).until_over()
        await until(lambda: news.lost == 1)
        news.loses = False
        await a.call("touch", {"uri": "x://1"}).until_over()
        await until(lambda: ("prompts/list_changed", None) in told(stream))


async def test_bulletin_that_was_not_sealed_here_is_thrown_away(caplog: pytest.LogCaptureFixture) -> None:
    news = MemoryNews()
    async with pair(v2, news=news) as (a, b):
        stream = await listening(b, {"toolsListChanged": True, "resourceSubscriptions": ["x://last"]})
        await news.publish(b"x" * 100)
        await ended(a, [stream], [])
        assert "not sealed with one of our keys" in caplog.text


async def test_burst_is_told_to_a_listener_without_end_in_sight_once_a_change() -> None:
    """A change that was not told yet covers the next one of its kind: the listener looks after both."""
    async with pair(v2) as (a, b):
        stream = await listening(b, {**EVERY_LIST, "resourceSubscriptions": ["x://last"]})
        for _ in range(50):
            await a.call("grow").until_over()
        await a.call("touch", {"uri": "x://last"}).until_over()
        await until(lambda: LAST in told(stream))
        assert 1 <= told(stream).count(GROWN) <= 50


# -- Redis ------------------------------------------------------------------------------------------


@asynccontextmanager
async def on_redis(server: RedisServer) -> AsyncGenerator[tuple[Wired, Wired]]:
    """Yield clients of two replicas that have a Redis server in common."""
    async with (
        redis_state(server.url, server.password, SECRETS) as ours,
        redis_state(server.url, server.password, SECRETS) as theirs,
        replica(v2(), ours, "a") as a,
        replica(v2(), theirs, "b") as b,
    ):
        yield a, b


@pytest.fixture
def redis() -> Generator[RedisServer]:
    """A server of its own."""
    with redis_server() as server:
        yield server


async def test_listeners_hear_over_redis_and_look_again_when_it_comes_back_empty(redis: RedisServer) -> None:
    async with on_redis(redis) as (a, b):
        wanted = {"toolsListChanged": True, "resourceSubscriptions": ["x://1"]}
        here, there = await listening(a, wanted), await listening(b, wanted)
        await a.call("grow").until_over()
        await until(lambda: told(there) == [GROWN])
        redis.kill()
        await a.call("touch", {"uri": "x://1"}).until_over()
        await until(lambda: told(here) == [GROWN, ("resources/updated", "x://1")])
        await asyncio.to_thread(redis.start)
        everything = {GROWN, ("resources/updated", "x://1")}
        await repeated(
            lambda: b.modern("server/discover"), lambda: set(told(there)) == everything and told(here).count(GROWN) == 2
        )
        await repeated(lambda: b.call("grow"), lambda: told(here).count(GROWN) > 2)
