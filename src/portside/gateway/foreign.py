"""In front of a server outside this process: its states are sealed for who carries them, its answers are kept."""

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from portside.clock import Clock
from portside.gateway.call import digest
from portside.gateway.kept import Kept
from portside.gateway.seal import Seal
from portside.hosting.around import AroundHost, AroundLink
from portside.hosting.base import Back, Call, Host, Link
from portside.hosting.translated.listed import Overhearing
from portside.wire import message, methods, refusal, translate
from portside.wire.message import Id, Message
from portside.wire.session import SessionRecord

PURPOSE: Final = "foreign"


class ForeignLink(AroundLink):
    """The modern link of a foreign server.

    A `requestState` it hands out is an attacker's input when it comes back (MCP 2026-07-28, Multi Round-Trip Requests):
    whether the server guards it is unknown, so it leaves here sealed for `lifetime_s`, for its principal and request.
    `holder` is this replica, where the server is its own and no other replica could do anything with it.
    """

    def __init__(
        self, link: Link, seal: Seal, kept: Kept, clock: Clock, lifetime_s: float, holder: str | None = None
    ) -> None:
        super().__init__(link)
        self._seal = seal
        self._holder = holder
        self._kept = kept
        self._clock = clock
        self._lifetime_s = lifetime_s

    async def request(self, message: Message, back: Back, call: Call) -> Message:
        """Return the response, from what is kept where that is fresh. Raises HostGone."""
        if message.method == methods.LISTEN:
            return await self._link.request(message, Overhearing(back, self._kept.hear), call)
        asked = self._unwrapped(message, call)
        if asked is None:
            return _refused(message)
        found = self._kept.find(asked, call.principal)
        if found is not None:
            return Message("response", id=message.id, result=found)
        changes = self._kept.changes(asked.method)
        reply = await self._link.request(asked, back, call)
        if reply.result is None:
            return reply
        if translate.is_input_required(reply.result):
            return self._wrapped(asked, reply, call)
        self._kept.keep(asked, call.principal, reply.result, changes=changes)
        return reply

    def _wrapped(self, asked: Message, reply: Message, call: Call) -> Message:
        result = cast("dict[str, Any]", reply.result)
        state = result.get("requestState")
        if state is None:
            return reply
        expires = self._clock.now() + self._lifetime_s
        claims = {"s": state, "p": call.principal, "d": digest(asked), "e": expires, "r": self._holder}
        return Message("response", id=reply.id, result={**result, "requestState": self._seal.close(claims)})

    def _unwrapped(self, asked: Message, call: Call) -> Message | None:
        """Return the request with the server's own state in it, None where it carries one that is not good for it."""
        params = asked.params or {}
        if "requestState" not in params:
            return asked
        state = params["requestState"]
        claims = self._seal.open(state) if isinstance(state, str) else None
        if claims is None or claims["p"] != call.principal or claims["d"] != digest(asked):
            return None
        if self._clock.now() >= claims["e"]:
            return None
        return message.request(cast("Id", asked.id), asked.method, {**params, "requestState": claims["s"]})


class OverheardHost(AroundHost):
    """A host whose announcements to legacy sessions are heard on their way, so that nothing outdated is kept."""

    def __init__(self, host: Host, heard: Callable[[Message], None]) -> None:
        super().__init__(host)
        self._heard = heard

    async def open(self, session: SessionRecord | None, back: Back) -> Link:
        return await self._host.open(session, Overhearing(back, self._heard))


def guarded(
    host: Host,
    link: Link,
    secrets: Sequence[bytes],
    clock: Clock,
    lifetime_s: float,
    holder: str | None = None,
    hooks: list[Callable[[Message], None]] | None = None,
) -> tuple[Host, Link]:
    """Return a host for its legacy sessions and a link for its modern exchanges, as a foreign server needs them.

    A server of this process is returned as it is: it seals its states itself, and asking it costs nothing. `holder` is
    this replica where there are others: then what a server of its own hands out says whose it is. To `hooks` is added
    what must hear the announcements of other replicas: it drops what they make outdated here.
    """
    description = host.description
    is_ours_alone = description.is_single and holder is not None
    if not description.is_foreign and not is_ours_alone:
        return host, link
    kept = Kept(clock)
    if hooks is not None:
        hooks.append(kept.hear)
    seal = Seal(PURPOSE, secrets)
    guarded_link = ForeignLink(link, seal, kept, clock, lifetime_s, holder if is_ours_alone else None)
    return OverheardHost(host, kept.hear), guarded_link


def minter(secrets: Sequence[bytes]) -> Callable[[Message], str | None]:
    """Return what says which replica's own server handed out the `requestState` that a request carries, if any."""
    seal = Seal(PURPOSE, secrets)

    def replica(asked: Message) -> str | None:
        state = (asked.params or {}).get("requestState")
        claims = seal.open(state) if isinstance(state, str) else None
        return claims.get("r") if claims is not None else None

    return replica


def _refused(asked: Message) -> Message:
    data = {"reason": "invalid_request_state"}
    return message.failure(asked.id, refusal.INVALID_PARAMS, "Invalid or expired requestState", data)
