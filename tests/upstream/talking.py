"""A client's side of a link: calls to make, and what came back meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from portside.errors import NoBackChannel
from portside.hosting.base import Call, Link
from portside.wire import classify, message
from portside.wire.message import Message
from portside.wire.session import SessionRecord

CLIENT: dict[str, Any] = {"name": "tests", "version": "1"}
CAPABILITIES: dict[str, Any] = {"elicitation": {"form": {}}, "sampling": {}, "roots": {}}
MODERN_META: dict[str, Any] = {
    classify.META_REVISION: "2026-07-28",
    classify.META_CAPABILITIES: CAPABILITIES,
    classify.META_CLIENT: CLIENT,
}
INITIALIZE: dict[str, Any] = {"protocolVersion": "2025-11-25", "capabilities": CAPABILITIES, "clientInfo": CLIENT}
INITIALIZED: dict[str, Any] = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "serverInfo": {"name": "scripted", "version": "3"},
}

Reply = Callable[[Message], Awaitable[Message]]


class Heard:
    """A `Back` that keeps what it is told and answers what it is asked by `reply`, if there is one."""

    def __init__(self, reply: Reply | None = None) -> None:
        self.told: list[Message] = []
        self.asked: list[Message] = []
        self._reply = reply
        self._changed = asyncio.Condition()

    async def notify(self, message: Message) -> None:
        async with self._changed:
            self.told.append(message)
            self._changed.notify_all()

    async def request(self, message: Message) -> Message:
        async with self._changed:
            self.asked.append(message)
            self._changed.notify_all()
        if self._reply is None:
            raise NoBackChannel("nobody is there to be asked")
        return await self._reply(message)

    async def until(self, count: int) -> list[Message]:
        """Return what was told once there are `count` of it."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: len(self.told) >= count)
        return self.told

    async def until_asked(self) -> Message:
        """Return the first question once it is here."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: bool(self.asked))
        return self.asked[0]


def modern_call(headers: Sequence[tuple[bytes, bytes]] = ()) -> Call:
    return Call(era="modern", revision="2026-07-28", headers=headers, capabilities=CAPABILITIES, client_info=CLIENT)


def legacy_call(headers: Sequence[tuple[bytes, bytes]] = ()) -> Call:
    return Call(era="legacy", revision="2025-11-25", headers=headers, capabilities=CAPABILITIES, client_info=CLIENT)


def modern(method: str, id: message.Id = 1, meta: Mapping[str, Any] | None = None, **params: Any) -> Message:
    return message.request(id, method, {**params, "_meta": {**MODERN_META, **(meta or {})}})


def modern_tool(name: str, id: message.Id = 1, meta: Mapping[str, Any] | None = None, **arguments: Any) -> Message:
    return modern("tools/call", id, meta, name=name, arguments=arguments)


def legacy_tool(name: str, id: message.Id = 1, meta: Mapping[str, Any] | None = None, **arguments: Any) -> Message:
    params: dict[str, Any] = {"name": name, "arguments": arguments}
    return message.request(id, "tools/call", {**params, "_meta": dict(meta)} if meta else params)


def record() -> SessionRecord:
    return SessionRecord("client-session", "2025-11-25", INITIALIZE, None, 0.0)


async def shake_hands(link: Link, back: Heard | None = None) -> Message:
    """Open a legacy session on a link as a client does; return the answer to `initialize`."""
    reply = await link.request(message.request("hello", "initialize", INITIALIZE), back or Heard(), legacy_call())
    await link.notify(message.notification("notifications/initialized"), legacy_call())
    return reply


def text(reply: Message) -> str:
    """Return the text of a tool's answer."""
    assert reply.result is not None, reply.error
    return reply.result["content"][0]["text"]
