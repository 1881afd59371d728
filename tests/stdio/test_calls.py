"""Calls to a modern command: one child for all of them, nothing crossing."""

import asyncio
from typing import Any

import pytest

from portside.errors import HostGone
from portside.wire import message
from portside.wire.message import Message
from tests.stdio.driving import MODERN, Remembering, ask, hosting, said, spec, tool, until

pytestmark = pytest.mark.anyio
LOG = "io.modelcontextprotocol/logLevel"
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


async def test_many_calls_share_one_child_and_each_gets_its_own_answer() -> None:
    async with hosting(spec("modern")) as host:
        link = await host.open(None, Remembering())
        asked = [
            # The same id from every client, as ids are each client's own.
            link.request(tool("gather", {"value": f"v{number}", "count": 500}), Remembering(), MODERN)
            for number in range(500)
        ]
        replies = await asyncio.gather(*asked)
        assert [said(reply) for reply in replies] == [f"v{number}" for number in range(500)]
        assert {reply.id for reply in replies} == {1}
        assert (await ask(link, "seen"))["calls"] == 501


async def test_progress_reaches_its_call_under_the_token_it_gave() -> None:
    async with hosting(spec("modern")) as host:
        link = await host.open(None, Remembering())
        backs = [Remembering() for _ in range(20)]
        await asyncio.gather(
            *(
                link.request(tool("progress", {"steps": 3}, meta={"progressToken": "same"}), back, MODERN)
                for back in backs
            )
        )
        for back in backs:
            assert [told.params for told in back.told] == [
                {"progressToken": "same", "progress": step} for step in range(3)
            ]


async def test_progress_nobody_asked_for_is_dropped() -> None:
    async with hosting(spec("modern")) as host:
        link, back = await host.open(None, Remembering()), Remembering()
        await link.request(tool("progress", {"steps": 3}), back, MODERN)
        assert back.told == []


async def test_a_cancelled_call_is_cancelled_at_the_server_under_the_id_it_knows() -> None:
    async with hosting(spec("modern")) as host:
        link = await host.open(None, Remembering())
        call = asyncio.create_task(link.request(tool("hang", id="mine"), Remembering(), MODERN))
        await _until_called(link, 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        seen = await ask(link, "seen")
        assert seen["cancelled"] == [seen["hanging"]]
        assert isinstance(seen["hanging"], int)


async def test_a_call_cancelled_by_a_deadline_leaves_the_others_alone_and_its_late_answer_is_dropped() -> None:
    async with hosting(spec("modern")) as host:
        link = await host.open(None, Remembering())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await link.request(tool("hang"), Remembering(), MODERN)
        hanging = (await ask(link, "seen"))["hanging"]
        assert await ask(link, "late", {"ids": [hanging, 12345, "text", str(hanging)]}) == "done"


async def test_log_messages_go_to_the_one_call_that_asked_for_them() -> None:
    async with hosting(spec("modern")) as host:
        link, back, other = await host.open(None, Remembering()), Remembering(), Remembering()
        hanging = asyncio.create_task(link.request(tool("hang"), other, MODERN))
        await _until_called(link, 1)
        await link.request(tool("log", {"data": "hers"}, meta={LOG: "info"}), back, MODERN)
        assert [(told.params or {})["data"] for told in back.told] == ["hers"]
        assert other.told == []
        await _cancelled(hanging)


async def test_log_messages_are_dropped_where_they_could_be_anothers() -> None:
    async with hosting(spec("modern")) as host:
        link, back, other = await host.open(None, Remembering()), Remembering(), Remembering()
        hanging = asyncio.create_task(link.request(tool("hang", meta={LOG: "info"}), other, MODERN))
        await _until_called(link, 1)
        await link.request(tool("log", {"data": "whose?"}, meta={LOG: "info"}), back, MODERN)
        await _cancelled(hanging)
        await link.request(tool("log", {"data": "of the cancelled one?"}, meta={LOG: "info"}), back, MODERN)
        assert back.told + other.told == []


async def test_a_subscription_is_told_under_its_own_id_and_ends_with_it() -> None:
    async with hosting(spec("modern")) as host:
        link, back = await host.open(None, Remembering()), Remembering()
        asked = message.request("my-sub", "subscriptions/listen", {"notifications": {"resourceSubscriptions": ["a:b"]}})
        listening = asyncio.create_task(link.request(asked, back, MODERN))
        await until(lambda: bool(back.told), "no acknowledgement")
        await ask(link, "update")
        await until(lambda: len(back.told) == 2, "no update")
        assert [_subscription(told) for told in back.told] == ["my-sub", "my-sub"]
        await ask(link, "end_listening")
        reply = await listening
        assert (reply.id, reply.result) == ("my-sub", {"resultType": "complete", "_meta": {SUBSCRIPTION: "my-sub"}})


async def test_a_modern_server_cannot_ask_anybody() -> None:
    async with hosting(spec("modern")) as host:
        link, back = await host.open(None, Remembering()), Remembering()
        refused = said(await link.request(tool("ask", {"id": 1}), back, MODERN))
        assert refused["code"] == -32601
        assert back.asked == []


async def test_a_killed_child_ends_its_calls_with_the_reason_and_is_started_again() -> None:
    async with hosting(spec("modern")) as host:
        link, back = await host.open(None, Remembering()), Remembering()
        asked = message.request("sub", "subscriptions/listen", {"notifications": {}})
        listening = asyncio.create_task(link.request(asked, back, MODERN))
        await until(lambda: bool(back.told), "no acknowledgement")
        with pytest.raises(HostGone) as gone:
            await ask(link, "crash", {"signal": 9})
        assert gone.value.message == "plain was ended by SIGKILL"
        assert gone.value.hint == "its last words: about to crash"
        with pytest.raises(HostGone):
            await listening
        assert await ask(link, "echo", {"again": True}) == {"again": True}
        await host.ping()


async def test_an_exit_code_is_told() -> None:
    async with hosting(spec("modern")) as host:
        with pytest.raises(HostGone, match="ended with exit code 5"):
            await ask(await host.open(None, Remembering()), "crash", {"code": 5})


async def _until_called(link: Any, count: int) -> None:
    while (await ask(link, "seen"))["calls"] <= count:
        await asyncio.sleep(0)


async def _cancelled(task: "asyncio.Task[Message]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def _subscription(told: Message) -> object:
    return (told.params or {})["_meta"][SUBSCRIPTION]
