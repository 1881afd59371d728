"""Whether a request may be run a second time (MCP, Tools, Annotations; the rest ours)."""

import asyncio

import pytest
from mcp_types import ToolAnnotations

from portside.clock import ManualClock
from portside.errors import HostGone
from portside.gateway.annotations import KEPT_S, REPEATABLE, Annotations
from portside.hosting.base import Back, Call
from portside.hosting.python.v2 import PythonV2Host
from portside.hosting.translated.listed import SILENT
from portside.wire import idempotency, message, methods
from portside.wire.message import Message
from tests.gateway.servers import build
from tests.gateway.shop import Shop

pytestmark = pytest.mark.anyio

MODERN = Call("modern", "2026-07-28", capabilities={}, principal="ann")
LEGACY = Call("legacy", "2025-11-25", capabilities={"roots": {"listChanged": True}}, client_info={"name": "t"})


def asked(name: object, *, key: str | None = None) -> Message:
    meta = {} if key is None else {"_meta": {idempotency.META: key}}
    return message.request(1, "tools/call", {"name": name, **meta})


@pytest.mark.parametrize("call", [MODERN, LEGACY])
async def test_a_tool_may_be_run_again_as_it_is_annotated(call: Call) -> None:
    tools = Annotations(Shop(), ManualClock())
    names = ["read", "set", "buy", "careful", None]
    assert [await tools.may_rerun(asked(name), call) for name in names] == [True, True, False, False, False]


async def test_a_tool_that_uses_the_key_may_be_run_again_with_one() -> None:
    tools = Annotations(Shop(), ManualClock())
    assert await tools.may_rerun(asked("careful", key="k"), MODERN)
    assert not await tools.may_rerun(asked("buy", key="k"), MODERN)


@pytest.mark.parametrize(
    "hints", [{"readOnlyHint": "true"}, {"readOnlyHint": 1}, {"idempotentHint": None}, {}, None, 5]
)
async def test_only_true_is_true(hints: object) -> None:
    shop = Shop()
    shop.hints["read"] = {"annotations": hints}
    assert not await Annotations(shop, ManualClock()).may_rerun(asked("read"), MODERN)


async def test_other_requests_are_judged_by_their_method() -> None:
    shop = Shop()
    tools = Annotations(shop, ManualClock())
    found = {method for method in methods.REQUESTS if await tools.may_rerun(message.request(1, method), MODERN)}
    assert found == REPEATABLE
    assert methods.REQUESTS - found == {"initialize", "subscriptions/listen", "tasks/update", "tools/call"}
    assert shop.lists == 0


async def test_the_list_is_asked_for_once_by_many_and_again_when_it_is_old_or_has_changed() -> None:
    shop, clock = Shop(), ManualClock()
    tools = Annotations(shop, clock)
    assert all(await asyncio.gather(*(tools.may_rerun(asked("read"), MODERN) for _ in range(10))))
    assert shop.lists == 1
    tools.hear(message.notification("notifications/tools/list_changed"))
    await tools.may_rerun(asked("read"), MODERN)
    assert shop.lists == 2
    clock.advance(KEPT_S)
    await tools.may_rerun(asked("read"), MODERN)
    assert shop.lists == 3


async def test_a_server_that_does_not_list_has_nothing_to_run_again() -> None:
    class Gone(Shop):
        async def request(self, message: Message, back: Back, call: Call) -> Message:
            raise HostGone("the child has ended")

    assert not await Annotations(Gone(), ManualClock()).may_rerun(asked("read"), MODERN)


async def test_tools_of_a_real_server_are_read() -> None:
    server = build()

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    async def look() -> str:
        return "seen"

    host = PythonV2Host(server)
    await host.start()
    try:
        tools = Annotations(await host.open(None, SILENT), ManualClock())
        assert await tools.may_rerun(asked("look"), MODERN)
        assert await tools.may_rerun(asked("look"), LEGACY)
        assert not await tools.may_rerun(asked("echo"), MODERN)
    finally:
        await host.close()
