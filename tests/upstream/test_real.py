"""The official SDK's own HTTP app as an upstream, in a process of its own: many callers, cancellations, no identity."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Generator

import pytest

from portside.errors import HostGone
from portside.hosting.base import Link
from portside.hosting.http.client import Limits
from portside.hosting.http.transport import Unreachable
from portside.hosting.upstream.host import UpstreamHost, UpstreamOptions, upstream
from portside.wire import message
from tests.processes import Serving, free_port, serving
from tests.upstream.talking import (
    INITIALIZE,
    Heard,
    legacy_call,
    legacy_tool,
    modern,
    modern_call,
    modern_tool,
    record,
    shake_hands,
    text,
)

pytestmark = pytest.mark.anyio

CANARY = "canary-3f9a"
IDENTITY = [
    (b"authorization", f"Bearer {CANARY}".encode()),
    (b"cookie", f"session={CANARY}".encode()),
    (b"x-forwarded-for", b"203.0.113.7"),
]


def command(port: int) -> list[str]:
    return [sys.executable, "-W", "ignore", "-m", "tests.upstream.served", "--port", str(port)]


@pytest.fixture(scope="module")
def server() -> Generator[Serving]:
    port = free_port()
    with serving(command(port), port, codes=(0, -15)) as served:
        yield served


@pytest.fixture
async def host(server: Serving) -> AsyncGenerator[UpstreamHost]:
    made = upstream(server.url, UpstreamOptions(limits=Limits(max_connections=600, wait_s=30)))
    async with asyncio.timeout(60):
        await made.start()
        yield made
        await made.close()


async def legacy_link(host: UpstreamHost) -> Link:
    link = await host.open(record(), Heard())
    assert (await shake_hands(link)).error is None
    return link


async def test_it_is_found_to_speak_both_eras(host: UpstreamHost) -> None:
    found = host.description
    assert (found.name, found.version, found.eras) == ("served", "2.5", ("modern", "legacy"))
    await host.ping()


async def test_five_hundred_modern_calls_at_once_get_their_own_answers(host: UpstreamHost) -> None:
    link = await host.open(None, Heard())

    async def one(number: int) -> None:
        # The same id for two callers: each POST is a channel of its own.
        asked = modern_tool("echo", id=number % 7, text=f"text-{number}")
        reply = await link.request(asked, Heard(), modern_call())
        assert (reply.id, text(reply)) == (number % 7, f"text-{number}")

    await asyncio.gather(*(one(number) for number in range(500)))


async def test_five_hundred_legacy_calls_on_one_session_get_their_own_answers(host: UpstreamHost) -> None:
    link = await legacy_link(host)

    async def one(number: int) -> None:
        back = Heard()
        asked = legacy_tool("count", id=f"id-{number}", meta={"progressToken": number}, to=2)
        reply = await link.request(asked, back, legacy_call())
        assert (reply.id, text(reply)) == (f"id-{number}", "counted 2")
        assert [(told.params or {})["progressToken"] for told in back.told] == [number, number]

    await asyncio.gather(*(one(number) for number in range(500)))
    await link.close()


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_cancelled_call_is_cancelled_at_the_server(host: UpstreamHost, era: str) -> None:
    back, key, meta = Heard(), f"held-{era}", {"progressToken": 1}
    if era == "modern":
        link = await host.open(None, Heard())
        task = asyncio.ensure_future(link.request(modern_tool("hold", meta=meta, key=key), back, modern_call()))
    else:
        link = await legacy_link(host)
        task = asyncio.ensure_future(link.request(legacy_tool("hold", meta=meta, key=key), back, legacy_call()))
    await back.until(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    asks = await host.open(None, Heard())
    while text(await asks.request(modern_tool("outcome", key=key), Heard(), modern_call())) == "running":
        await asyncio.sleep(0)
    assert text(await asks.request(modern_tool("outcome", key=key), Heard(), modern_call())) == "cancelled"
    await link.close()


async def test_what_says_who_the_caller_is_never_reaches_the_server(host: UpstreamHost) -> None:
    shared = await host.open(None, Heard())
    await shared.request(modern_tool("echo", text="x"), Heard(), modern_call(IDENTITY))
    session = await host.open(record(), Heard())
    await session.request(message.request(1, "initialize", INITIALIZE), Heard(), legacy_call(IDENTITY))
    await session.notify(message.notification("notifications/initialized"), legacy_call(IDENTITY))
    await session.request(legacy_tool("echo", text="x"), Heard(), legacy_call(IDENTITY))
    await session.close()
    seen = text(await shared.request(modern_tool("headers_seen"), Heard(), modern_call()))
    assert "mcp-protocol-version" in seen
    assert CANARY not in seen
    assert "203.0.113.7" not in seen


async def test_a_resource_is_read_and_one_that_is_not_there_is_the_servers_error(host: UpstreamHost) -> None:
    link = await host.open(None, Heard())
    found = await link.request(modern("resources/read", uri="held://text"), Heard(), modern_call())
    assert found.result is not None
    assert found.result["contents"][0]["text"] == "a text"
    missing = await link.request(modern("resources/read", uri="held://nothing"), Heard(), modern_call())
    assert missing.error is not None
    assert missing.error["code"] == -32602


async def test_a_subscription_is_acknowledged_and_ends_when_its_listener_leaves(host: UpstreamHost) -> None:
    link, back = await host.open(None, Heard()), Heard()
    asked = modern("subscriptions/listen", id="sub", notifications={"toolsListChanged": True})
    task = asyncio.ensure_future(link.request(asked, back, modern_call()))
    assert (await back.until(1))[0].method == "notifications/subscriptions/acknowledged"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_server_that_was_killed_and_came_back_is_used_again_by_the_links_there_are() -> None:
    port = free_port()
    host = upstream(f"http://127.0.0.1:{port}/mcp")
    with serving(command(port), port, stop=False):
        await host.start()
        shared, session = await host.open(None, Heard()), await legacy_link(host)
        assert text(await session.request(legacy_tool("echo", text="before"), Heard(), legacy_call())) == "before"
    with pytest.raises(Unreachable):
        await host.ping()
    for link, call in ((shared, modern_tool("echo", text="x")), (session, legacy_tool("echo", text="x"))):
        with pytest.raises(HostGone):
            await link.request(call, Heard(), modern_call() if link is shared else legacy_call())
    with serving(command(port), port, codes=(0, -15)):
        assert text(await shared.request(modern_tool("echo", text="after"), Heard(), modern_call())) == "after"
        assert text(await session.request(legacy_tool("echo", text="after"), Heard(), legacy_call())) == "after"
        await session.close()
        await host.close()
