"""A session at a legacy upstream: its id there, the revision it settled, and every request that belongs to it."""

import re
from typing import Any, Final, cast

from portside.errors import HostGone
from portside.hosting.base import Call
from portside.hosting.http.transport import Response
from portside.hosting.upstream.endpoint import Endpoint
from portside.hosting.upstream.messages import MessageStream, check_coding, is_json, is_stream, parse
from portside.wire import headers, revisions
from portside.wire.message import Message

_SESSION_ID: Final = re.compile(rb"[\x21-\x7e]{1,1024}")


class RemoteSession:
    """What an upstream calls our session. `id` is None before the handshake, and for servers that keep none.

    `generation` counts the handshakes, so that of several calls that find the session lost only one repeats it.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.id: bytes | None = None
        self.revision: str | None = None
        self.generation = 0

    @property
    def is_open(self) -> bool:
        """Whether a handshake has settled."""
        return self.revision is not None

    async def initialize(self, asked: Message, call: Call | None) -> Message:
        """Shake hands and adopt the session the upstream opens for it; return its answer, an error included."""
        response = await self.endpoint.post(asked.encode(), (), call, is_repeatable=True)
        try:
            if response.status != 200:
                return await self.endpoint.refused(response, asked)
            reply = await self.first_response(response, asked)
        finally:
            response.close()
        if reply.result is not None:
            self.adopt(response.headers.get(headers.SESSION), reply.result)
        return reply

    async def first_response(self, response: Response, asked: Message) -> Message:
        """Return the response in an answer with status 200, whatever was said before it dropped."""
        endpoint = self.endpoint
        check_coding(response, endpoint.where)
        if is_json(response):
            found = parse(await response.read(endpoint.max_answer_bytes), endpoint.where)
            return self.own(found, asked)
        if not is_stream(response):
            raise HostGone(f"{endpoint.where} answered 200 to {asked.method!r}, but neither JSON nor an event stream")
        stream = MessageStream(response, endpoint.where, endpoint.max_answer_bytes)
        while (told := await stream.next()) is not None:
            if told.kind == "response":
                return self.own((told,), asked)
        raise HostGone(f"{endpoint.where} ended its stream without an answer to {asked.method!r}")

    def own(self, found: tuple[Message, ...], asked: Message) -> Message:
        """Return the response to `asked` among the messages of an answer. Raises HostGone where there is none."""
        for one in found:
            if one.kind == "response" and is_answer(one, asked):
                return one
        raise HostGone(f"{self.endpoint.where} answered {asked.method!r} without a response to it")

    async def post(self, sent: Message, call: Call | None, *, is_repeatable: bool = False) -> Response:
        """Send one message within the session and return the response, whatever its status."""
        return await self.endpoint.post(sent.encode(), self._headers(), call, is_repeatable=is_repeatable)

    async def tell(self, sent: Message, call: Call | None) -> None:
        """Send a message that has no answer. Raises HostGone where the upstream does not take it."""
        response = await self.post(sent, call)
        try:
            if not 200 <= response.status < 300:
                what = sent.method or "an answer"
                raise HostGone(f"{self.endpoint.where} answered {response.status} to {what!r}; expected 202")
        finally:
            response.close()

    async def get(self, last_id: str | None, call: Call | None) -> Response:
        """Open the standalone stream, or resume a stream after the event `last_id`."""
        own = self._headers()
        if last_id is not None:
            own.append((headers.LAST_EVENT, last_id.encode("utf-8")))
        return await self.endpoint.get(own, call)

    async def end(self, call: Call | None) -> int | None:
        """End the session at the upstream; return the status it answered, None where there was nothing to end."""
        if self.id is None:
            self.forget()
            return None
        own = self._headers()
        self.forget()
        response = await self.endpoint.delete(own, call)
        response.close()
        return response.status

    def forget(self) -> None:
        """Be without a session until the next handshake."""
        self.id = self.revision = None

    def adopt(self, id_: bytes | None, result: dict[str, Any]) -> None:
        """Take over what an `initialize` was answered with. Raises HostGone for an unknown revision or a broken id."""
        where = self.endpoint.where
        revision: object = result.get("protocolVersion")
        if revision not in revisions.LEGACY:
            shown = str(revision)[:40]
            raise HostGone(f"{where} settled on the revision {shown!r}; expected one of {', '.join(revisions.LEGACY)}")
        if id_ is not None and not _SESSION_ID.fullmatch(id_):
            raise HostGone(f"{where} answered with a session id that is not 1 to 1024 visible ASCII characters")
        self.id = id_
        self.revision = cast("str", revision)
        self.generation += 1

    def _headers(self) -> list[tuple[bytes, bytes]]:
        made: list[tuple[bytes, bytes]] = []
        if self.revision is not None:
            made.append((headers.VERSION, self.revision.encode("ascii")))
        if self.id is not None:
            made.append((headers.SESSION, self.id))
        return made


def is_answer(reply: Message, asked: Message) -> bool:
    """Say whether a response is meant for this request; some servers turn ids into strings."""
    return reply.id == asked.id or reply.id == str(asked.id) or (reply.id is None and reply.error is not None)
