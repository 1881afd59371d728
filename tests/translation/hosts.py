"""Servers of one era each, and a gateway in front of them that serves both."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from portside.clock import Clock
from portside.errors import HostGone
from portside.gateway.options import Options
from portside.hosting.base import Back, Call, Description, Host, Link
from portside.hosting.python.v2 import PythonV2Host
from portside.wire import classify
from portside.wire import message as messages
from portside.wire.message import Message
from portside.wire.revisions import Era
from portside.wire.session import SessionRecord
from tests.gateway.wired import Wired, fronted

Answer = dict[str, Any] | Message
NewHandler = Callable[[Message, Back], Awaitable[Answer]]
Handler = Callable[[Message, Back, "OldLink"], Awaitable[Answer]]

EVERYTHING: dict[str, Any] = {
    "tools": {"listChanged": True},
    "prompts": {},
    "resources": {"subscribe": True, "listChanged": True},
    "logging": {},
}


class OldLink:
    """One connection to an old server, with what was said on it."""

    def __init__(self, server: "OldServer", back: Back) -> None:
        self.server = server
        self.back = back
        self.heard: list[Message] = []
        self.calls: list[Call] = []
        self.is_closed = False
        self.is_broken = False

    def is_plain(self, message: Message) -> bool:
        return False

    async def request(self, message: Message, back: Back, call: Call) -> Message:
        if self.is_broken or self.server.is_down:
            raise HostGone("the old server has gone")
        self.heard.append(message)
        self.calls.append(call)
        self.server.arrived.set()
        handler = self.server.handlers.get(message.method)
        if handler is None:
            return messages.failure(message.id, -32601, "Method not found")
        answer = await handler(message, back, self)
        return answer if isinstance(answer, Message) else messages.response(message.id, answer)

    async def notify(self, message: Message, call: Call) -> None:
        self.heard.append(message)

    async def close(self) -> None:
        await self.server.may_close.wait()
        self.is_closed = True

    def params(self, method: str) -> list[dict[str, Any] | None]:
        """Return the params of every message of a method."""
        return [one.params for one in self.heard if one.method == method]


class OldServer:
    """A server that knows the handshake only: answers from a table of handlers, on any number of links."""

    def __init__(self, capabilities: dict[str, Any] | None = None, **handlers: Handler) -> None:
        self.capabilities = EVERYTHING if capabilities is None else capabilities
        self.handlers: dict[str, Handler] = {
            "initialize": self._initialize,
            "ping": _nothing,
            "logging/setLevel": _nothing,
            "resources/subscribe": _nothing,
            "resources/unsubscribe": _nothing,
            "tools/list": _no_tools,
            **{name.replace("__", "/"): handler for name, handler in handlers.items()},
        }
        self.links: list[OldLink] = []
        self.arrived = asyncio.Event()
        self.may_close = asyncio.Event()
        self.may_close.set()
        self.is_down = False
        self.revision: object = "2025-11-25"
        self.is_foreign = True

    @property
    def description(self) -> Description:
        return Description("old", "old server", "1", ("legacy",), is_foreign=self.is_foreign)

    @property
    def routes(self) -> Sequence[Any]:
        return ()

    async def start(self) -> None:
        return

    async def open(self, session: SessionRecord | None, back: Back) -> Link:
        assert session is not None, "an old server has sessions only"
        if self.is_down:
            raise HostGone("the old server has gone")
        self.links.append(OldLink(self, back))
        return self.links[-1]

    async def ping(self) -> None:
        return

    async def close(self) -> None:
        assert all(link.is_closed for link in self.links), "a link was left open"

    @property
    def open_links(self) -> list[OldLink]:
        return [link for link in self.links if not link.is_closed]

    async def _initialize(self, asked: Message, back: Back, link: OldLink) -> dict[str, Any]:
        return {
            "protocolVersion": self.revision,
            "capabilities": self.capabilities,
            "serverInfo": {"name": "old", "version": "1"},
            "instructions": "be kind",
        }


async def _nothing(asked: Message, back: Back, link: OldLink) -> Answer:
    return {}


async def _no_tools(asked: Message, back: Back, link: OldLink) -> Answer:
    return {"tools": []}


class NewServer:
    """A server that knows the modern era only: answers from a table of handlers on one shared link. Host and link."""

    def __init__(self, capabilities: dict[str, Any] | None = None) -> None:
        self.capabilities = EVERYTHING if capabilities is None else capabilities
        self.handlers: dict[str, NewHandler] = {"server/discover": self._discover, "subscriptions/listen": self._listen}
        self.heard: list[Message] = []
        self.calls: list[Call] = []
        self.streams: list[Stream] = []
        self.acknowledges = True
        self.is_down = False
        self.is_foreign = True

    @property
    def description(self) -> Description:
        return Description("new", "new server", "1", ("modern",), is_foreign=self.is_foreign)

    @property
    def routes(self) -> Sequence[Any]:
        return ()

    async def start(self) -> None:
        return

    async def open(self, session: SessionRecord | None, back: Back) -> Link:
        assert session is None, "a new server has no sessions"
        return self

    async def ping(self) -> None:
        return

    async def close(self) -> None:
        assert not self.open_streams, "a subscription was left open"

    def is_plain(self, message: Message) -> bool:
        return False

    async def request(self, message: Message, back: Back, call: Call) -> Message:
        if self.is_down:
            raise HostGone("the new server has gone")
        assert call.era == "modern"
        assert (message.params or {})["_meta"][classify.META_REVISION] == "2026-07-28"
        self.heard.append(message)
        self.calls.append(call)
        handler = self.handlers.get(message.method)
        if handler is None:
            return messages.failure(message.id, -32601, "Method not found", message.method)
        answer = await handler(message, back)
        if isinstance(answer, Message):
            return answer
        return messages.response(message.id, {"resultType": "complete", **answer})

    async def notify(self, message: Message, call: Call) -> None:
        raise AssertionError(f"{message.method} has no modern form")

    @property
    def open_streams(self) -> list["Stream"]:
        return [stream for stream in self.streams if stream.is_open]

    async def tell(self, method: str, params: dict[str, Any] | None = None) -> None:
        """Announce something on every open stream."""
        for stream in self.open_streams:
            meta = {classify.META_SUBSCRIPTION: stream.asked.id}
            await stream.back.notify(messages.notification(method, {**(params or {}), "_meta": meta}))

    async def _discover(self, asked: Message, back: Back) -> Answer:
        return {
            "supportedVersions": ["2026-07-28"],
            "capabilities": self.capabilities,
            "instructions": "be quick",
            "ttlMs": 0,
            "cacheScope": "private",
            "_meta": {classify.META_SERVER: {"name": "new", "version": "2"}},
        }

    async def _listen(self, asked: Message, back: Back) -> Answer:
        stream = Stream(asked, back)
        self.streams.append(stream)
        wanted = (asked.params or {})["notifications"]
        meta = {classify.META_SUBSCRIPTION: asked.id}
        try:
            if self.acknowledges:
                params = {"notifications": wanted, "_meta": meta}
                await back.notify(messages.notification("notifications/subscriptions/acknowledged", params))
                await stream.ended.wait()
        finally:
            stream.is_open = False
        return {"_meta": meta}


class Stream:
    """One subscription at a new server."""

    def __init__(self, asked: Message, back: Back) -> None:
        self.asked = asked
        self.back = back
        self.ended = asyncio.Event()
        self.is_open = True

    @property
    def wanted(self) -> dict[str, Any]:
        return (self.asked.params or {})["notifications"]


class OneEra(PythonV2Host):
    """A server object of the SDK v2 that serves one of its eras."""

    era: Era = "modern"
    is_foreign = False

    @property
    def description(self) -> Description:
        return replace(super().description, eras=(self.era,), is_foreign=self.is_foreign)

    async def open(self, session: SessionRecord | None, back: Back) -> Link:
        assert (session is None) == (self.era == "modern"), "the other era is not served"
        return await super().open(session, back)


@asynccontextmanager
async def served(host: Host, options: Options | None = None, clock: Clock | None = None) -> AsyncGenerator[Wired]:
    """Yield clients of a gateway in front of a host; nothing is left running afterwards."""
    async with fronted(host, options, clock=clock) as clients:
        yield clients


async def until(condition: Callable[[], bool]) -> None:
    """Return once a condition holds; it is another task that makes it so."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)
