"""Which host serves which era by itself, and mirrored headers checked for servers that do not."""

from typing import Any

import pytest

from portside.clock import ManualClock
from portside.errors import HostGone
from portside.hosting.base import Back, Call
from portside.hosting.eras import both_eras
from portside.hosting.python.v2 import PythonV2Host
from portside.hosting.translated.listed import ListedTools, Listing, listed_by
from portside.wire import message, refusal
from portside.wire.message import Message
from tests.gateway.servers import build
from tests.gateway.wired import Response, Wired, text
from tests.translation.hosts import Answer, NewServer, OldLink, OldServer, OneEra, served

pytestmark = pytest.mark.anyio

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
}


async def old_tools(asked: Message, back: Back, link: OldLink) -> Answer:
    return {"tools": [{"name": "t", "inputSchema": SCHEMA}]}


async def old_call(asked: Message, back: Back, link: OldLink) -> Answer:
    return {"content": [{"type": "text", "text": "called"}]}


async def new_call(asked: Message, back: Back) -> Answer:
    return {"content": [{"type": "text", "text": "called"}]}


class Tools:
    """The list of a new server's tools: counts how often it is asked for."""

    def __init__(self, **hints: Any) -> None:
        self.hints = hints
        self.asked = 0
        self.is_broken = False

    async def __call__(self, asked: Message, back: Back) -> Answer:
        self.asked += 1
        if self.is_broken:
            return message.failure(asked.id, -32603, "no list today")
        if (asked.params or {}).get("cursor") is None:
            return {"tools": [{"name": "other"}], "nextCursor": "2", **self.hints}
        return {"tools": [{"name": "t", "inputSchema": SCHEMA}], **self.hints}


def test_a_host_of_this_process_with_both_eras_is_left_alone() -> None:
    host = PythonV2Host(build())
    assert both_eras(host) is host


async def test_the_description_says_what_is_native_and_what_translated() -> None:
    assert both_eras(OldServer()).description.eras == ("legacy",)
    assert both_eras(OldServer()).description.translated == ("modern",)
    assert both_eras(NewServer()).description.translated == ("legacy",)


async def test_a_foreign_host_with_both_eras_keeps_its_own_links_and_is_checked() -> None:
    class Both(OneEra):
        is_foreign = True

        @property
        def description(self) -> Any:
            return super(OneEra, self).description

        async def open(self, session: Any, back: Back) -> Any:
            return await super(OneEra, self).open(session, back)

    async with served(both_eras(Both(build()))) as clients:
        assert text((await clients.call("echo", {"text": "a"}).until_over()).json) == "a"
        client = await clients.session()
        assert text((await client.call("echo", {"text": "b"}).until_over()).messages[-1]) == "b"


async def test_the_eras_are_looked_at_after_the_start() -> None:
    class Late(NewServer):
        has_started = False

        @property
        def description(self) -> Any:
            found = super().description
            return found if self.has_started else type(found)("?", "?", "", ())

        async def start(self) -> None:
            self.has_started = True

    host = both_eras(Late())
    assert (host.description.eras, host.description.translated) == ((), ())
    async with served(host) as clients:
        assert (await clients.modern("server/discover").until_over()).status == 200
        await clients.session()
    assert host.description.translated == ("legacy",)


# -- mirrored headers ----------------------------------------------------------------------------


def call(clients: Wired, region: str | None, header: bytes | None, **more: Any) -> Response:
    headers = {} if header is None else {b"mcp-param-region": header}
    return clients.call("t", {} if region is None else {"region": region}, headers=headers, **more)


@pytest.mark.parametrize("host", ["old", "new"])
@pytest.mark.parametrize(
    ("region", "header", "status"),
    [("eu", b"eu", 200), ("eu", b"us", 400), ("eu", None, 400), (None, b"eu", 400), (None, None, 200)],
)
async def test_headers_are_compared_with_the_arguments_they_mirror(
    host: str, region: str | None, header: bytes | None, status: int
) -> None:
    new = NewServer()
    new.handlers |= {"tools/list": Tools(), "tools/call": new_call}
    old = OldServer(tools__list=old_tools, tools__call=old_call)
    async with served(both_eras(old if host == "old" else new)) as clients:
        response = await call(clients, region, header).until_over()
    assert response.status == status
    if status == 400:
        assert response.json["error"]["code"] == refusal.HEADER_MISMATCH


async def test_a_list_of_no_stated_age_holds_for_seconds_and_for_its_principal() -> None:
    tools, clock, server = Tools(cacheScope="private", ttlMs=0), ManualClock(), NewServer()
    server.handlers |= {"tools/list": tools, "tools/call": new_call}
    async with served(both_eras(server, clock=clock)) as clients:
        for _ in range(3):
            await call(clients, "eu", b"eu", principal="ann").until_over()
        assert tools.asked == 2  # two pages
        await call(clients, "eu", b"eu", principal="bob").until_over()
        assert tools.asked == 4
        clock.advance(5.1)
        await call(clients, "eu", b"eu", principal="ann").until_over()
        assert tools.asked == 6


async def test_a_public_list_holds_for_everybody_for_as_long_as_it_says() -> None:
    tools, clock, server = Tools(cacheScope="public", ttlMs=60_000), ManualClock(), NewServer()
    server.handlers |= {"tools/list": tools, "tools/call": new_call}
    async with served(both_eras(server, clock=clock)) as clients:
        for user, pause in (("ann", 0), ("bob", 59), ("cyd", 2)):
            clock.advance(pause)
            await call(clients, "eu", b"eu", principal=user).until_over()
    assert tools.asked == 4


async def test_a_list_is_asked_for_anew_once_it_was_announced_as_changed() -> None:
    tools, server = Tools(cacheScope="public", ttlMs=60_000), NewServer()
    server.handlers |= {"tools/list": tools, "tools/call": new_call}
    async with served(both_eras(server)) as clients:
        await call(clients, "eu", b"eu").until_over()
        stream = clients.modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, id="s")
        await stream.until(1)
        await server.tell("notifications/tools/list_changed")
        await stream.until(2)
        await call(clients, "eu", b"eu").until_over()
    assert tools.asked == 4


async def test_a_server_that_cannot_list_is_not_checked_and_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    tools, clock, server = Tools(), ManualClock(), NewServer()
    tools.is_broken = True
    server.handlers |= {"tools/list": tools, "tools/call": new_call}
    async with served(both_eras(server, clock=clock)) as clients:
        for _ in range(3):
            assert text((await call(clients, "eu", b"us").until_over()).json) == "called"
            clock.advance(6)
    assert tools.asked == 3
    assert [record.message for record in caplog.records if "tools/list failed" in record.message] == [
        "tools/list failed, so mirrored headers are not checked: no list today"
    ]


async def test_a_server_that_is_gone_while_it_lists_fails_the_call() -> None:
    server = NewServer()
    listed = ListedTools(listed_by(server), ManualClock())
    server.is_down = True
    with pytest.raises(HostGone):
        await listed.declared("t", Call("modern", "2026-07-28"))


async def test_what_was_listed_before_an_announcement_is_not_kept_after_it() -> None:
    listings: list[Call] = []

    async def list_tools(call: Call) -> Listing:
        listings.append(call)
        if len(listings) == 1:
            listed.forget()
        return Listing({"t": SCHEMA}, 60_000, is_public=True)

    listed = ListedTools(list_tools, ManualClock())
    for _ in range(3):
        assert len(await listed.declared("t", Call("modern", "2026-07-28"))) == 1
    assert len(listings) == 2
