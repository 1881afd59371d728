"""Legacy sessions: a child each, closed when idle, brought back by repeating the handshake."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from portside.errors import HostBusy, HostGone
from portside.hosting.stdio.backoff import Patience
from portside.wire import message
from portside.wire.message import Message
from tests.stdio.driving import (
    LEGACY,
    OPTIONS,
    Remembering,
    ask,
    hosting,
    is_alive,
    record,
    said,
    session,
    spec,
    tool,
    until,
)

pytestmark = pytest.mark.anyio


async def test_each_session_has_a_child_of_its_own_with_the_clients_own_handshake() -> None:
    async with hosting(spec("legacy")) as host:
        one, other = await session(host), await session(host)
        seen = [await ask(link, "seen", call=LEGACY) for link in (one, other)]
        pids = [(await ask(link, "where", call=LEGACY))["pid"] for link in (one, other)]
        assert [each["params"] for each in seen] == [record().initialize] * 2
        assert seen[0]["told"] == [{"jsonrpc": "2.0", "method": "notifications/initialized"}]
        assert pids[0] != pids[1]
        await one.close()
        assert [is_alive(pid) for pid in pids] == [False, True]


async def test_sessions_beyond_the_cap_are_refused_until_one_ends() -> None:
    async with hosting(spec("legacy"), replace(OPTIONS, max_children=2)) as host:
        one, _ = await session(host), await session(host)
        with pytest.raises(HostBusy, match="2 children run, and no more than 2 may"):
            await host.open(record(), Remembering())
        await one.close()
        await session(host)


async def test_a_crash_ends_the_calls_in_flight_and_the_next_request_finds_a_server_in_the_same_state() -> None:
    async with hosting(spec("legacy")) as host:
        link = await session(host)
        await link.request(message.request(2, "logging/setLevel", {"level": "debug"}), Remembering(), LEGACY)
        for uri in ("a:1", "a:2"):
            await link.request(message.request(3, "resources/subscribe", {"uri": uri}), Remembering(), LEGACY)
        hanging = asyncio.create_task(link.request(tool("hang"), Remembering(), LEGACY))
        with pytest.raises(HostGone, match="ended with exit code 4"):
            await ask(link, "crash", {"code": 4}, call=LEGACY)
        with pytest.raises(HostGone):
            await hanging
        seen = await ask(link, "seen", call=LEGACY)
        assert seen["params"] == record().initialize
        assert [told["method"] for told in seen["told"]] == ["notifications/initialized"]
        assert (seen["level"], seen["subscribed"]) == ("debug", ["a:1", "a:2"])


async def test_an_idle_child_is_closed_and_comes_back() -> None:
    async with hosting(spec("legacy"), replace(OPTIONS, child_idle_s=0.05, max_children=1)) as host:
        link = await session(host)
        pid = (await ask(link, "where", call=LEGACY))["pid"]
        await until(lambda: host.children == 0, "the idle child was not closed")
        assert not is_alive(pid)
        other = await session(host)  # its place is free
        await other.close()
        assert (await ask(link, "where", call=LEGACY))["pid"] != pid


async def test_a_session_taken_over_is_replayed_at_its_recorded_revision() -> None:
    async with hosting(spec("legacy")) as host:
        taken = record(
            revision="2025-06-18", is_initialized=True, log_level="warning", subscriptions=frozenset({"a:b"})
        )
        seen = await ask(await host.open(taken, Remembering()), "seen", call=LEGACY)
        assert seen["params"]["protocolVersion"] == "2025-06-18"
        assert (seen["level"], seen["subscribed"]) == ("warning", ["a:b"])


async def test_a_server_that_changed_its_revision_cannot_be_brought_back(tmp_path: Path) -> None:
    async with hosting(replace(spec("legacy", "old"), folder=tmp_path)) as host:
        link = await session(host)
        (tmp_path / "OLD").touch()
        with pytest.raises(HostGone):
            await ask(link, "crash", {}, call=LEGACY)
        with pytest.raises(HostGone, match="speaks '2024-11-05' now, and this session '2025-11-25'"):
            await ask(link, "echo", call=LEGACY)


async def test_a_session_whose_child_keeps_crashing_is_left_alone_and_the_others_are_not() -> None:
    patience = Patience(first_s=0.01, max_starts=3, pause_s=100)
    async with hosting(spec("legacy"), replace(OPTIONS, patience=patience)) as host:
        link, other = await session(host), await session(host)
        for _ in range(3):
            with pytest.raises(HostGone, match="exit code 9"):
                await ask(link, "crash", {"code": 9}, call=LEGACY)
        with pytest.raises(HostGone, match=r"is crash-looping, last: it ended with exit code 9; tried again in 100 s"):
            await ask(link, "echo", call=LEGACY)
        assert await ask(other, "echo", call=LEGACY) == {}
        await host.ping()


async def test_a_question_goes_to_the_call_in_flight_and_its_answer_back() -> None:
    async def answer(asked: Message) -> dict[str, Any]:
        return {"action": "accept", "content": {"asked": asked.method}}

    async with hosting(spec("legacy")) as host:
        connection, back = Remembering(), Remembering(answer)
        link = await session(host, connection)
        reply = said(await link.request(tool("ask", {"id": "q-1"}), back, LEGACY))
        assert reply == {"action": "accept", "content": {"asked": "elicitation/create"}}
        assert connection.asked == []
        assert (await ask(link, "seen", call=LEGACY))["answers"][0]["id"] == "q-1"


async def test_a_question_nobody_can_answer_is_refused_and_a_ping_is_answered_here() -> None:
    async with hosting(spec("legacy")) as host:
        link, back = await session(host), Remembering()
        assert said(await link.request(tool("ask", {"id": 1}), back, LEGACY))["code"] == -32600
        unknown = await link.request(tool("ask", {"id": 2, "method": "files/list"}), back, LEGACY)
        assert said(unknown)["code"] == -32601
        assert said(await link.request(tool("ask", {"id": 3, "method": "ping"}), back, LEGACY)) == {}
        assert len(back.asked) == 1


async def test_a_question_its_server_withdraws_is_given_up() -> None:
    given_up = asyncio.Event()

    async def answer(asked: Message) -> dict[str, Any]:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()
        return {}

    async with hosting(spec("legacy")) as host:
        link, back = await session(host), Remembering(answer)
        call = asyncio.create_task(link.request(tool("ask", {"id": "q"}), back, LEGACY))
        await until(lambda: bool(back.asked), "nothing was asked")
        await ask(link, "withdraw", {"id": "q"}, call=LEGACY)
        await asyncio.wait_for(given_up.wait(), 5)
        assert (await ask(link, "seen", call=LEGACY))["answers"] == []
        call.cancel()
        await asyncio.wait([call])


async def test_a_question_ends_with_the_call_it_was_put_to_and_its_server_is_told() -> None:
    async def answer(asked: Message) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async with hosting(spec("legacy")) as host:
        link, back = await session(host), Remembering(answer)
        call = asyncio.create_task(link.request(tool("ask", {"id": "q"}), back, LEGACY))
        await until(lambda: bool(back.asked), "nothing was asked")
        call.cancel()
        await asyncio.wait([call])
        seen = await ask(link, "seen", call=LEGACY)
        assert [(one["id"], one["error"]["code"]) for one in seen["answers"]] == [("q", -32600)]
        assert len(seen["cancelled"]) == 1


async def test_what_is_said_without_an_address_goes_to_the_latest_call() -> None:
    async with hosting(spec("legacy")) as host:
        connection, back = Remembering(), Remembering()
        link = await session(host, connection)
        await link.request(tool("announce"), back, LEGACY)
        assert [told.method for told in back.told] == ["notifications/tools/list_changed"]


async def test_a_clients_cancellation_reaches_the_server_once_and_under_the_servers_id() -> None:
    async with hosting(spec("legacy")) as host:
        link = await session(host)
        call = asyncio.create_task(link.request(tool("hang", id="client's"), Remembering(), LEGACY))
        seen: dict[str, Any] = {}
        while "hanging" not in seen:
            seen = await ask(link, "seen", call=LEGACY)
        call.cancel()
        await link.notify(message.notification("notifications/cancelled", {"requestId": "client's"}), LEGACY)
        await asyncio.wait([call])
        assert (await ask(link, "seen", call=LEGACY))["cancelled"] == [seen["hanging"]]
