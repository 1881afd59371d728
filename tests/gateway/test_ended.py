"""What a session that has ended holds on to: nothing."""

import asyncio

import pytest

from portside.errors import HostGone
from portside.hosting.base import Back, Call
from portside.wire import message
from portside.wire.message import Message
from tests.gateway.servers import build
from tests.gateway.severed import replicas

pytestmark = pytest.mark.anyio


class Nobody:
    """A channel back that leads nowhere."""

    async def notify(self, message: Message) -> None:
        raise AssertionError(f"nobody should be told {message.method}")

    async def request(self, message: Message) -> Message:
        raise AssertionError(f"nobody should be asked {message.method}")


async def test_a_session_that_has_ended_lets_its_link_go_and_refuses_what_comes_late() -> None:
    async with replicas(build(), build()) as (first, _):
        await first.clients.session()
        (session,) = first.gateway.legacy.live.values()
        former = session.link
        session.ownership.lose()
        async with asyncio.timeout(10):
            while session.link is former:
                await asyncio.sleep(0)
        assert session.link is not None
        back: Back = Nobody()
        with pytest.raises(HostGone, match="the session has ended"):
            await session.link.request(message.request(1, "ping", {}), back, Call("legacy", "2025-11-25"))
