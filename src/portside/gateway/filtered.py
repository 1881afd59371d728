"""Lists hold what their reader may use: a link whose list results go through the policy."""

from portside.auth.principal import ANONYMOUS, Principal
from portside.auth.scopes import Policy
from portside.hosting.around import AroundHost, AroundLink
from portside.hosting.base import Back, Call, Host, Link
from portside.wire.message import Message
from portside.wire.session import SessionRecord


class FilteredLink(AroundLink):
    """A link whose lists leave out what the caller may not use."""

    def __init__(self, link: Link, policy: Policy) -> None:
        super().__init__(link)
        self._policy = policy

    async def request(self, message: Message, back: Back, call: Call) -> Message:
        reply = await self._link.request(message, back, call)
        if reply.result is None:
            return reply
        caller = call.caller if isinstance(call.caller, Principal) else ANONYMOUS
        result = self._policy.filtered(caller, message.method, reply.result)
        return reply if result is reply.result else Message("response", id=reply.id, result=result)


class FilteredHost(AroundHost):
    """A host all of whose links filter their lists."""

    def __init__(self, host: Host, policy: Policy) -> None:
        super().__init__(host)
        self._policy = policy

    async def open(self, session: SessionRecord | None, back: Back) -> Link:
        return FilteredLink(await self._host.open(session, back), self._policy)
