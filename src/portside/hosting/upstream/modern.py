"""Modern exchanges with a server reached over HTTP: one POST each, its answer JSON or a stream."""

from typing import Final

from portside.errors import HostGone
from portside.hosting.base import Back, Call
from portside.hosting.upstream.endpoint import Endpoint
from portside.hosting.upstream.messages import MessageStream, check_coding, is_json, is_stream, parse
from portside.wire import headers, methods
from portside.wire.message import Message

REPEATABLE: Final = frozenset((methods.BOTH - {"tools/call"}) | {"server/discover", "tasks/get", methods.LISTEN})
"""What only reads, so that it may be sent again where nobody knows whether it arrived."""


class ModernLink:
    """A `Link` for all modern exchanges with one endpoint. A POST is a channel of its own, so ids stay as they are."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def is_plain(self, message: Message) -> bool:
        """Never: what the server says meanwhile is not known before."""
        return False

    async def request(self, message: Message, back: Back, call: Call) -> Message:
        """Return the server's answer. Raises HostGone, HostBusy. Cancelling it closes the stream, which cancels it."""
        endpoint, method = self._endpoint, message.method
        response = await endpoint.post(
            message.raw or message.encode(),
            _headers(message, call.revision),
            call,
            is_repeatable=method in REPEATABLE,
            is_lasting=method == methods.LISTEN,
        )
        try:
            if response.status != 200:
                return await endpoint.refused(response, message)
            check_coding(response, endpoint.where)
            if is_json(response):
                found = parse(await response.read(endpoint.max_answer_bytes), endpoint.where)
                return self._answer(found[0] if len(found) == 1 else None, message)
            if is_stream(response):
                return await self._stream(
                    MessageStream(response, endpoint.where, endpoint.max_answer_bytes), message, back
                )
        finally:
            response.close()
        raise HostGone(f"{endpoint.where} answered 200 to {method!r}, but neither JSON nor an event stream")

    async def notify(self, message: Message, call: Call) -> None:
        """Drop it: the modern core protocol defines no notification a client may send over HTTP."""

    async def close(self) -> None:
        """Nothing is held."""

    async def _stream(self, stream: MessageStream, asked: Message, back: Back) -> Message:
        while True:
            told = await stream.next()
            if told is None:
                raise HostGone(f"{self._endpoint.where} ended its stream without an answer; the outcome is unknown")
            if told.kind == "response":
                return self._answer(told, asked)
            if told.kind == "notification":
                await back.notify(told)
            else:
                # The modern protocol has no such thing; whoever waits for an answer to it would wait for ever.
                raise HostGone(f"{self._endpoint.where} sent the request {told.method!r} on a modern stream")

    def _answer(self, reply: Message | None, asked: Message) -> Message:
        if reply is None or reply.kind != "response":
            raise HostGone(f"{self._endpoint.where} answered {asked.method!r} with something else than one response")
        if reply.id != asked.id and not (reply.id is None and reply.error is not None):
            raise HostGone(f"{self._endpoint.where} answered the request {asked.id!r} under the id {reply.id!r}")
        if reply.id is None:
            return Message("response", id=asked.id, error=reply.error)
        return reply


def _headers(message: Message, revision: str) -> list[tuple[bytes, bytes]]:
    """Return the headers mirrored from the body (MCP 2026-07-28, Streamable HTTP, Standard Request Headers)."""
    made = [
        (headers.VERSION, revision.encode("ascii")),
        (headers.METHOD, headers.encode_value(message.method).encode("ascii")),
    ]
    parameter = methods.NAME_PARAMETER.get(message.method)
    name = message.params.get(parameter) if parameter is not None and message.params else None
    if isinstance(name, str):
        made.append((headers.NAME, headers.encode_value(name).encode("ascii")))
    return made
