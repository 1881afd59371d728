"""A host and a link around another one, the same in everything: for whoever changes one thing about them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from portside.hosting.base import Back, Call, Description, Host, Link
from portside.wire.message import Message
from portside.wire.session import SessionRecord

if TYPE_CHECKING:
    from types import CoroutineType


class AroundLink:
    """A link that passes everything on. `request` adds no coroutine of its own: what is not changed costs nothing."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def is_plain(self, message: Message) -> bool:
        return self._link.is_plain(message)

    def request(self, message: Message, back: Back, call: Call) -> "CoroutineType[Any, Any, Message]":
        return self._link.request(message, back, call)

    async def notify(self, message: Message, call: Call) -> None:
        await self._link.notify(message, call)

    async def close(self) -> None:
        await self._link.close()


class AroundHost:
    """A host that is the one it is around."""

    def __init__(self, host: Host) -> None:
        self._host = host

    @property
    def description(self) -> Description:
        return self._host.description

    @property
    def routes(self) -> Sequence[Any]:
        return self._host.routes

    async def start(self) -> None:
        await self._host.start()

    async def open(self, session: SessionRecord | None, back: Back) -> Link:
        return await self._host.open(session, back)

    async def ping(self) -> None:
        await self._host.ping()

    async def close(self) -> None:
        await self._host.close()
