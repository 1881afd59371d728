"""Modern exchanges: one request in, one answer out."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from portside.errors import StateUnavailable
from portside.gateway.annotations import MayRerun
from portside.gateway.call import Calls, RunningCall, digest
from portside.gateway.http import Incoming, Outgoing, accepts
from portside.gateway.plain import PlainCall
from portside.gateway.presence import Presence
from portside.gateway.questions import carried
from portside.gateway.relay import Relay, ReplicaLost
from portside.hosting.base import Call
from portside.wire import classify, message, methods, refusal, sse
from portside.wire.message import Id, Message
from portside.wire.refusal import Refusal

PURPOSE: Final = "suspended"

_RETRY: Final = frozenset({"inputResponses", "requestState"})


Owner = Callable[[Message], Awaitable[str | None]]
"""Says which replica a request belongs to, None where any will do. Raises StateUnavailable."""


class Exchanges:
    """All modern exchanges of this process. What belongs to another replica is relayed there, where there are several.

    `owner` says whose a request is by what it carries; suspended calls are known here.
    """

    def __init__(
        self,
        calls: Calls,
        *,
        presence: Presence,
        relay: Relay | None,
        may_rerun: MayRerun,
        owner: Owner | None = None,
    ) -> None:
        self.calls = calls
        self._presence = presence
        self._relay = relay
        self._may_rerun = may_rerun
        self._owner = owner

    async def serve(self, incoming: Incoming, out: Outgoing, asked: Message) -> None:
        """Answer one modern request. Raises Refusal where it goes no further."""
        envelope = classify.modern(asked, incoming.headers)
        record = incoming.record
        record.revision = envelope.revision
        if asked.method in methods.LEGACY_ONLY:
            raise Refusal(refusal.METHOD_NOT_FOUND, "Method not found", data=asked.method, id=asked.id)
        if asked.method == methods.LISTEN and not accepts(incoming, sse.CONTENT_TYPE):
            raise Refusal(
                refusal.INVALID_REQUEST, "a subscription is a stream: accept text/event-stream", status=406, id=asked.id
            )
        call = Call(
            era="modern",
            revision=envelope.revision,
            headers=incoming.raw_headers,
            capabilities=envelope.capabilities,
            client_info=envelope.client,
            principal=incoming.principal,
            caller=incoming.identity,
            client=incoming.client,
            scheme=incoming.scheme,
            path=incoming.path,
        )
        params = asked.params or {}
        state = params.get("requestState")
        if isinstance(state, str) and state.startswith(self.calls.seal.prefix):
            await self._resume(incoming, out, asked, state, call)
        elif self._owner is not None and await self._is_relayed(incoming, out, asked, await self._owner_of(asked)):
            return
        elif self.calls.link.is_plain(asked):
            await PlainCall(self.calls, asked).serve(incoming, out, call)
        else:
            await RunningCall(self.calls, asked, call).serve(incoming, out, asked)

    async def end_listening(self) -> None:
        """End every subscription with its completion, so that clients know it was meant (graceful closure)."""
        for running in [one for one in self.calls.running if isinstance(one, RunningCall)]:
            if running.asked.method != methods.LISTEN:
                continue
            meta = {classify.META_SUBSCRIPTION: running.asked.id}
            running.settle(message.response(running.asked.id, {"resultType": "complete", "_meta": meta}))
            running.cancel()

    def cancel_suspended(self) -> None:
        """Give up the calls that wait for a user: their answers could not reach this process any more."""
        for running in list(self.calls.suspended.values()):
            running.cancel()

    async def _resume(self, incoming: Incoming, out: Outgoing, asked: Message, state: str, call: Call) -> None:
        claims = self.calls.seal.open(state)
        if claims is None or claims["p"] != incoming.principal or claims["d"] != digest(asked):
            raise Refusal(
                refusal.INVALID_PARAMS,
                "Invalid or expired requestState",
                data={"reason": "invalid_request_state"},
                id=asked.id,
            )
        running = self.calls.suspended.get(claims["c"])
        if running is not None:
            await running.resume(incoming, out, asked, claims["n"])
            return
        holder = claims.get("r", self.calls.holder)
        if holder == self.calls.holder or not await self._go_on(incoming, out, asked, claims, call):
            raise Refusal(
                refusal.INVALID_PARAMS,
                "the call that asked is not waiting any more",
                data={"reason": "suspended_call_lost"},
                id=asked.id,
            )

    async def _go_on(
        self, incoming: Incoming, out: Outgoing, asked: Message, claims: dict[str, Any], call: Call
    ) -> bool:
        """Continue a call that waits at another replica, there, or from its beginning where that one is lost.

        False where it must not be run again, or what was answered is not known.
        """
        if await self._is_relayed(incoming, out, asked, claims["r"]):
            return True
        params = asked.params or {}
        answers = params.get("inputResponses")
        known = carried(claims, cast("dict[str, Any]", answers) if isinstance(answers, dict) else {})
        first = message.request(
            cast("Id", asked.id), asked.method, {name: params[name] for name in params if name not in _RETRY}
        )
        if known is None or not await self._may_rerun(first, call):
            return False
        await RunningCall(self.calls, first, call, known).serve(incoming, out, first)
        return True

    async def _owner_of(self, asked: Message) -> str | None:
        try:
            return await self._owner(asked) if self._owner is not None else None
        except StateUnavailable as error:
            raise _away(error, asked) from error

    async def _is_relayed(self, incoming: Incoming, out: Outgoing, asked: Message, holder: str | None) -> bool:
        """Have a request answered by the replica it belongs to; False where it is ours to answer."""
        if self._relay is None or holder is None or holder == self.calls.holder:
            return False
        try:
            if not await self._presence.lives(holder):
                return False
        except StateUnavailable as error:
            raise _away(error, asked) from error
        try:
            await self._relay.forward(incoming, out, to=holder)
        except ReplicaLost as lost:
            if lost.is_away:
                raise _away(StateUnavailable(str(lost)), asked) from lost
            return False
        return True


def _away(error: StateUnavailable, asked: Message) -> Refusal:
    text = f"the other replicas cannot be reached now: {error.message}"
    return Refusal(refusal.STATE_AWAY, text, id=asked.id, headers={"retry-after": "1"})
