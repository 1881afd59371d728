"""Modern exchanges: one request in, one answer out."""

from typing import Final

from portside.gateway.call import Calls, RunningCall, digest
from portside.gateway.http import Incoming, Outgoing, accepts
from portside.gateway.options import Options
from portside.gateway.plain import PlainCall
from portside.gateway.seal import Seal
from portside.gateway.ticker import Ticker
from portside.hosting.base import Call, Link
from portside.wire import classify, message, methods, refusal, sse
from portside.wire.message import Message
from portside.wire.refusal import Refusal

PURPOSE: Final = "suspended"


class Exchanges:
    """All modern exchanges of this process."""

    def __init__(self, link: Link, options: Options, seal: Seal, ticker: Ticker) -> None:
        self.calls = Calls(link, options, seal, ticker)

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
        params = asked.params or {}
        state = params.get("requestState")
        if isinstance(state, str) and state.startswith(self.calls.seal.prefix):
            await self._resume(incoming, out, asked, state)
            return
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
        if self.calls.link.is_plain(asked):
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

    async def _resume(self, incoming: Incoming, out: Outgoing, asked: Message, state: str) -> None:
        claims = self.calls.seal.open(state)
        running = self.calls.suspended.get(claims["c"]) if claims is not None else None
        if claims is None or claims["p"] != incoming.principal or claims["d"] != digest(asked):
            raise Refusal(
                refusal.INVALID_PARAMS,
                "Invalid or expired requestState",
                data={"reason": "invalid_request_state"},
                id=asked.id,
            )
        if running is None:
            raise Refusal(
                refusal.INVALID_PARAMS,
                "the call that asked is not waiting any more",
                data={"reason": "suspended_call_lost"},
                id=asked.id,
            )
        await running.resume(incoming, out, asked, claims["n"])
