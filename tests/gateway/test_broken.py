"""A link that breaks in a way nobody foresaw: its caller is told, in both eras, and nothing is left behind."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from mcp.server.mcpserver import MCPServer

from portside.errors import HostGone
from portside.hosting.base import Back, Call, Link
from portside.hosting.python.v2 import PythonV2Host
from portside.wire.message import Message
from portside.wire.session import SessionRecord
from tests.gateway.wired import Wired, fronted

pytestmark = pytest.mark.anyio


class Breaking(PythonV2Host):
    """A host whose links raise `error` on every `tools/call`."""

    error: Exception
    is_plain: bool

    async def open(self, session: SessionRecord | None, back: Back) -> Link:
        return BreakingLink(await super().open(session, back), self.error, self.is_plain)


class BreakingLink:
    def __init__(self, link: Link, error: Exception, plain: bool) -> None:
        self._link, self._error, self._plain = link, error, plain

    def is_plain(self, message: Message) -> bool:
        return self._plain

    async def request(self, message: Message, back: Back, call: Call) -> Message:
        if message.method == "tools/call":
            raise self._error
        return await self._link.request(message, back, call)

    async def notify(self, message: Message, call: Call) -> None:
        await self._link.notify(message, call)

    async def close(self) -> None:
        await self._link.close()


@asynccontextmanager
async def breaking(error: Exception, *, plain: bool = False) -> AsyncGenerator[Wired]:
    host = Breaking(MCPServer("breaking"))
    host.error, host.is_plain = error, plain
    async with fronted(host) as clients:
        yield clients


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize(
    ("error", "text"), [(RuntimeError("sensitive"), "Internal error"), (HostGone("the child has exited"), "exited")]
)
async def test_a_broken_link_is_told_by_its_code_in_both_eras(
    error: Exception, text: str, plain: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with breaking(error, plain=plain) as clients:
        modern = await clients.call("any").until_over()
        legacy = await (await clients.session()).call("any").until_over()
        assert not clients.gateway.exchanges.calls.running

    for reply in (modern.messages[-1], legacy.messages[-1]):
        assert reply["error"]["code"] == (-31005 if isinstance(error, HostGone) else -32603)
        assert text in reply["error"]["message"]
        assert "sensitive" not in str(reply)
    logged = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert bool(logged) == isinstance(error, RuntimeError)
