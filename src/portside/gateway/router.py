"""One HTTP request to the endpoint: read, admitted, and brought to the era it belongs to."""

from collections.abc import Awaitable
from functools import lru_cache
from typing import Final

from portside.gateway.exchange import Exchanges
from portside.gateway.guard import Guard
from portside.gateway.http import Incoming, Outgoing, accepts, refuse, reply
from portside.gateway.sessions import LegacySessions
from portside.hosting.large import LargeWork
from portside.wire import classify, headers, idempotency, message, methods, refusal, revisions, strict
from portside.wire.message import Message
from portside.wire.refusal import Refusal

ALLOW: Final = (b"allow", b"GET, POST, DELETE")


class Router:
    """The choice between the two eras, by the body first."""

    def __init__(self, legacy: LegacySessions, exchanges: Exchanges, guard: Guard | None) -> None:
        self._legacy = legacy
        self._exchanges = exchanges
        # None where there is nothing to ask: then no request pays for it.
        self._guard = None if guard is None or guard.is_idle else guard
        self._parsing = LargeWork()

    async def answer(self, incoming: Incoming, out: Outgoing) -> None:
        """Answer one HTTP request to the endpoint."""
        guard = self._guard
        try:
            # No coroutine of its own: nearly every request is one of these, and waits inside it.
            await (self._post if incoming.method == "POST" else self._dispatch)(incoming, out, guard)
        except Refusal as refused:
            await refuse(out, incoming.record, refused)
        finally:
            if incoming.held and guard is not None:
                guard.release(incoming)

    async def answer_relayed(self, incoming: Incoming, out: Outgoing) -> None:
        """Answer a request that another replica has admitted, counted and put on record."""
        try:
            await self._dispatch(incoming, out, None)
        except Refusal as refused:
            await refuse(out, incoming.record, refused)

    async def _dispatch(self, incoming: Incoming, out: Outgoing, guard: Guard | None) -> None:
        if incoming.method == "POST":
            await self._post(incoming, out, guard)
        elif incoming.method in ("GET", "DELETE"):
            if guard is not None:
                guard.check_stream(incoming)
            await self._stream_or_end(incoming, out)
        else:
            incoming.record.outcome = "refused"
            await reply(out, 405, headers=[ALLOW])

    async def _post(self, incoming: Incoming, out: Outgoing, guard: Guard | None) -> None:
        _check_content(incoming)
        body = incoming.body
        sent = message.parse(body) if len(body) <= strict.LARGE else await self._parsing.run(message.parse, body)
        idempotency.check(sent, incoming.headers)
        if isinstance(sent, tuple):
            await self._post_batch(incoming, out, sent, guard)
            return
        record = incoming.record
        if sent.kind != "response":
            record.rpc_method = methods.label(sent.method)
            record.name = _name(sent)
        if guard is not None:
            await guard.admit(sent, incoming)
        if not classify.is_modern(sent, incoming.headers):
            record.era = "legacy"
            await self._legacy.post(incoming, out, sent)
        elif sent.kind == "notification":
            # The modern core defines none that a server would act on; a client cancels by leaving.
            record.era = "modern"
            classify.modern_notification(sent, incoming.headers)
            await reply(out, 202)
        else:
            record.era = "modern"
            await self._exchanges.serve(incoming, out, sent)

    async def _post_batch(
        self, incoming: Incoming, out: Outgoing, batch: tuple[Message, ...], guard: Guard | None
    ) -> None:
        incoming.record.era, incoming.record.rpc_method = "legacy", "batch"
        if guard is not None:
            await guard.count_batch(len(batch), incoming)
            for one in batch:
                await guard.admit(one, incoming)
        await self._legacy.post_batch(incoming, out, batch)

    def _stream_or_end(self, incoming: Incoming, out: Outgoing) -> Awaitable[None]:
        version = incoming.headers.get(headers.VERSION)
        if version is not None and version.decode("latin-1") in revisions.MODERN:
            incoming.record.era, incoming.record.outcome = "modern", "refused"
            return reply(out, 405, headers=[(b"allow", b"POST")])
        incoming.record.era = "legacy"
        return self._legacy.get(incoming, out) if incoming.method == "GET" else self._legacy.delete(incoming, out)


@lru_cache(maxsize=256)
def _is_json(content_type: bytes) -> bool:
    return content_type.partition(b";")[0].strip().lower() == b"application/json"


def _check_content(incoming: Incoming) -> None:
    if not _is_json(incoming.headers.get(b"content-type", b"")):
        raise Refusal(refusal.INVALID_REQUEST, "the body must be application/json", status=415)
    if not (accepts(incoming, b"application/json") or accepts(incoming, b"text/event-stream")):
        raise Refusal(
            refusal.INVALID_REQUEST, "accept application/json and text/event-stream, as MCP clients must", status=406
        )


def _name(sent: Message) -> str | None:
    parameter = methods.NAME_PARAMETER.get(sent.method)
    value = sent.params.get(parameter) if parameter is not None and sent.params else None
    return value if isinstance(value, str) else None
