"""A server outside this process: its states sealed, its answers kept by its own hints."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from portside.clock import ManualClock
from portside.gateway import foreign
from portside.gateway.kept import Kept
from portside.gateway.options import Options
from portside.hosting.base import Back
from portside.hosting.eras import both_eras
from portside.hosting.python.v2 import PythonV2Host
from portside.hosting.translated.listed import SILENT
from portside.wire import message, refusal
from portside.wire.message import Message
from tests.gateway.servers import build
from tests.gateway.wired import Wired, text
from tests.translation.hosts import Answer, NewServer, served

pytestmark = pytest.mark.anyio

LIFETIME_S = 600.0


@asynccontextmanager
async def guarded(server: NewServer, clock: ManualClock | None = None) -> AsyncGenerator[Wired]:
    """Yield clients of a gateway whose server is foreign."""
    async with served(both_eras(server), clock=clock, options=Options(suspended_call_s=LIFETIME_S)) as clients:
        yield clients


class Asking:
    """A tool that asks for a name, its state in clear."""

    def __init__(self) -> None:
        self.states: list[object] = []

    async def __call__(self, asked: Message, back: Back) -> Answer:
        params = asked.params or {}
        self.states.append(params.get("requestState"))
        if "inputResponses" in params:
            return {"content": [{"type": "text", "text": params["inputResponses"]["k"]["content"]["name"]}]}
        question: dict[str, Any] = {"method": "elicitation/create", "params": {"message": "?", "requestedSchema": {}}}
        return {"resultType": "input_required", "inputRequests": {"k": question}, "requestState": "user=1"}


ANSWER: dict[str, Any] = {"k": {"action": "accept", "content": {"name": "Ann"}}}


def asking() -> tuple[NewServer, Asking]:
    server, tool = NewServer(), Asking()
    server.handlers |= {"tools/call": tool}
    return server, tool


async def state_of(clients: Wired, principal: str | None = "ann") -> str:
    result = (await clients.call("t", {"a": 1}, principal=principal).until_over()).json["result"]
    assert list(result["inputRequests"]) == ["k"]
    return result["requestState"]


def retry(state: object) -> dict[str, Any]:
    return {"requestState": state, "inputResponses": ANSWER}


async def test_a_foreign_state_leaves_sealed_and_comes_back_as_it_was() -> None:
    server, tool = asking()
    async with guarded(server) as clients:
        state = await state_of(clients)
        assert "user" not in state
        response = await clients.call("t", {"a": 1}, params=retry(state), principal="ann").until_over()
    assert text(response.json) == "Ann"
    assert tool.states == [None, "user=1"]


@pytest.mark.parametrize("change", ["principal", "arguments", "tool", "time", "bits", "clear", "type", "other key"])
async def test_a_state_is_good_for_its_principal_request_and_time_only(change: str) -> None:
    server, tool = asking()
    clock = ManualClock()
    async with guarded(server, clock) as clients:
        state: object = await state_of(clients)
        assert isinstance(state, str)
        name, arguments, principal = "t", {"a": 1}, "ann"
        if change == "principal":
            principal = "eve"
        elif change == "arguments":
            arguments = {"a": 2}
        elif change == "tool":
            name = "u"
        elif change == "time":
            clock.advance(LIFETIME_S)
        elif change == "bits":
            state = state[:-3] + ("AAA" if state[-3:] != "AAA" else "BBB")
        elif change == "clear":
            state = "user=2"
        elif change == "type":
            state = {"user": 2}
        else:
            async with guarded(asking()[0]) as others:
                state = await state_of(others)
        response = await clients.call(name, arguments, params=retry(state), principal=principal).until_over()
    assert (response.status, response.json["error"]["code"]) == (400, refusal.INVALID_PARAMS)
    assert response.json["error"]["data"] == {"reason": "invalid_request_state"}
    assert tool.states == [None]


async def test_a_legacy_session_never_sees_a_foreign_state() -> None:
    server, tool = asking()
    async with guarded(server) as clients:
        client = await clients.session()
        response = client.call("t")
        await response.until(1)
        asked = next(one for one in response.messages if one.get("method") == "elicitation/create")
        await client.post({"jsonrpc": "2.0", "id": asked["id"], "result": ANSWER["k"]}).until_over()
        await response.until_over()
    assert tool.states == [None, "user=1"]
    assert b"requestState" not in response.body


async def test_a_server_of_this_process_is_left_alone() -> None:
    host = PythonV2Host(build())
    link = await host.open(None, SILENT)
    assert foreign.guarded(host, link, (), ManualClock(), LIFETIME_S) == (host, link)


# -- what is kept -------------------------------------------------------------------------------


class Listed:
    """A list that says how often it was asked for."""

    def __init__(self, **hints: Any) -> None:
        self.hints = hints
        self.asked = 0

    async def __call__(self, asked: Message, back: Back) -> Answer:
        self.asked += 1
        return {"prompts": [], "n": self.asked, **self.hints}


async def n(clients: Wired, principal: str | None = None, **params: Any) -> int:
    response = await clients.modern("prompts/list", params, principal=principal).until_over()
    return response.json["result"]["n"]


def listing(**hints: Any) -> NewServer:
    server = NewServer()
    server.handlers["prompts/list"] = Listed(**hints)
    return server


async def test_a_public_answer_is_kept_for_everybody_and_grows_older() -> None:
    clock = ManualClock()
    async with guarded(listing(ttlMs=1000, cacheScope="public"), clock) as clients:
        assert [await n(clients, "ann"), await n(clients, "bob"), await n(clients)] == [1, 1, 1]
        clock.advance(0.5)
        response = await clients.modern("prompts/list").until_over()
        assert response.json["result"]["ttlMs"] == 500
        clock.advance(0.5)
        assert await n(clients) == 2


async def test_a_private_answer_is_kept_for_its_principal_and_nobody_is_no_principal() -> None:
    async with guarded(listing(ttlMs=1000, cacheScope="private")) as clients:
        assert [await n(clients, "ann"), await n(clients, "bob"), await n(clients, "ann")] == [1, 2, 1]
        assert [await n(clients), await n(clients)] == [3, 4]


async def test_pages_are_kept_apart_and_retries_never() -> None:
    async with guarded(listing(ttlMs=1000, cacheScope="public")) as clients:
        assert [await n(clients), await n(clients, cursor="2"), await n(clients)] == [1, 2, 1]
        assert [await n(clients, inputResponses={}), await n(clients, inputResponses={})] == [3, 4]


@pytest.mark.parametrize(
    "hints",
    [
        {},
        {"ttlMs": 0, "cacheScope": "public"},
        {"ttlMs": -1, "cacheScope": "public"},
        {"ttlMs": True, "cacheScope": "public"},
        {"ttlMs": "1000", "cacheScope": "public"},
        {"ttlMs": 1000},
        {"ttlMs": 1000, "cacheScope": "shared"},
        {"ttlMs": 1000, "cacheScope": "public", "resultType": "input_required"},
    ],
)
async def test_without_good_hints_nothing_is_kept(hints: dict[str, Any]) -> None:
    async with guarded(listing(**hints)) as clients:
        assert [await n(clients, "ann"), await n(clients, "ann")] == [1, 2]


async def test_what_resources_hold_is_not_kept() -> None:
    server = NewServer()
    server.handlers["resources/read"] = listed = Listed(ttlMs=1000, cacheScope="public")
    async with guarded(server) as clients:
        for _ in range(2):
            await clients.modern("resources/read", {"uri": "a:b"}).until_over()
    assert listed.asked == 2


@pytest.mark.parametrize("listener", ["modern", "legacy"])
async def test_an_announcement_on_its_way_to_a_listener_ends_what_is_kept(listener: str) -> None:
    server = listing(ttlMs=1000, cacheScope="public")
    server.capabilities = {"prompts": {"listChanged": True}}
    async with guarded(server) as clients:
        if listener == "modern":
            wanted = {"notifications": {"promptsListChanged": True}}
            await clients.modern("subscriptions/listen", wanted, id="s").until(1)
        else:
            await clients.session()
        assert await n(clients) == 1
        await server.tell("notifications/tools/list_changed")
        assert await n(clients) == 1
        await server.tell("notifications/prompts/list_changed")
        assert await n(clients) == 2


def kept(count: int, **limits: int) -> Kept:
    made = Kept(ManualClock(), **limits)
    for number in range(count):
        result = {"ttlMs": 1000, "cacheScope": "public", "x": "y" * 100}
        made.keep(page(number), None, result, changes=0)
    return made


def page(number: int) -> Message:
    return message.request(1, "tools/list", {"cursor": str(number)})


def test_no_more_is_kept_than_allowed_and_the_oldest_goes_first() -> None:
    few = kept(5, max_entries=3)
    assert [few.find(page(number), None) is not None for number in range(5)] == [False, False, True, True, True]
    small = kept(10, max_bytes=500)
    assert 0 < len(small) < 5
    assert small.size <= 500
    assert len(kept(1, max_bytes=10)) == 0


def test_what_was_asked_before_an_announcement_is_not_kept_after_it() -> None:
    made = kept(0)
    before = made.changes("tools/list")
    made.hear(message.notification("notifications/tools/list_changed"))
    made.keep(page(1), None, {"ttlMs": 1000, "cacheScope": "public"}, changes=before)
    assert len(made) == 0
    made.keep(page(1), None, {"ttlMs": 1000, "cacheScope": "public"}, changes=made.changes("tools/list"))
    assert len(made) == 1


def test_dropping_everything_leaves_no_bytes() -> None:
    made = kept(5)
    made.hear(message.notification("notifications/tools/list_changed"))
    assert (len(made), made.size) == (0, 0)
