"""Lists hold what their reader may use: a link whose list results go through the policy."""

from collections.abc import Sequence
from typing import Any

from portside.auth.principal import ANONYMOUS, Principal
from portside.auth.scopes import Policy
from portside.hosting.base import Back, Call, Description, Host, Link
from portside.wire.message import Message
from portside.wire.session import SessionRecord


class FilteredLink:
    """A link whose lists leave out what the caller may not use."""

    def __init__(self, link: Link, policy: Policy) -> None:
        self._link = link
        self._policy = policy

    def is_plain(self, message: Message) -> bool:
        return self._link.is_plain(message)

    async def request(self, message: Message, back: Back, call: Call) -> Message:
        reply = await self._link.request(message, back, call)
        if reply.result is None:
            return reply
        caller = call.caller if isinstance(call.caller, Principal) else ANONYMOUS
        result = self._policy.filtered(caller, message.method, reply.result)
        return reply if result is reply.result else Message("response", id=reply.id, result=result)

    async def notify(self, message: Message, call: Call) -> None:
        await self._link.notify(message, call)

    async def close(self) -> None:
        await self._link.close()


class FilteredHost:
    """A host all of whose links filter their lists."""

    def __init__(self, host: Host, policy: Policy) -> None:
        self._host = host
        self._policy = policy

    @property
    def description(self) -> Description:
        return self._host.description

    @property
    def routes(self) -> Sequence[Any]:
        return self._host.routes

    async def start(self) -> None:
        await self._host.start()

    async def open(self, session: SessionRecord | None, back: Back) -> Link:
        return FilteredLink(await self._host.open(session, back), self._policy)

    async def ping(self) -> None:
        await self._host.ping()

    async def close(self) -> None:
        await self._host.close()
