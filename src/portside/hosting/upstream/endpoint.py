"""One MCP endpoint spoken to over HTTP: which headers a request carries, and what an answer's status means."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from portside.errors import HostBusy, HostGone
from portside.hosting.base import Call
from portside.hosting.http.transport import Headers, Request, Response, Transport
from portside.hosting.upstream.credentials import Credentials, StaticHeaders
from portside.hosting.upstream.messages import ERROR_BYTES, is_json, parse
from portside.wire import headers
from portside.wire.message import Message

_JSON: Final = (b"content-type", b"application/json")
_ACCEPT: Final = (b"accept", b"application/json, text/event-stream")
_ACCEPT_STREAM: Final = (b"accept", b"text/event-stream")
_TRACE: Final = frozenset({b"traceparent", b"tracestate"})


class NotLetIn(HostGone):
    """The server answered 401 or 403. `challenge` is its WWW-Authenticate where that is meant for our own caller.

    It is meant for the caller where the caller's identity was passed on, so with apps of this process alone.
    """

    def __init__(self, message: str, status: int, challenge: bytes | None) -> None:
        super().__init__(message)
        self.status = status
        self.challenge = challenge


def far_headers(call: Call) -> list[tuple[bytes, bytes]]:
    """Return the caller's headers a server elsewhere gets: its mirrored arguments and its trace, never its identity."""
    return [
        pair for pair in call.headers if pair[0] in _TRACE or pair[0].startswith(headers.PARAM_PREFIX)
    ]  # a token must not be passed through (MCP 2026-07-28, Authorization, Access Token Privilege Restriction)


@dataclass(slots=True)
class Endpoint:
    """Where an MCP server is and how it is spoken to.

    `where` names it in messages, `passed` picks the caller's headers it gets; `is_near` where these say who asks.
    """

    where: str
    target: bytes
    transport: Transport
    credentials: Credentials = field(default_factory=StaticHeaders)
    passed: Callable[[Call], list[tuple[bytes, bytes]]] = far_headers
    max_answer_bytes: int = 16 * 1024 * 1024
    is_near: bool = False

    async def post(
        self,
        body: bytes,
        own: Headers,
        call: Call | None,
        *,
        is_repeatable: bool = False,
        is_lasting: bool = False,
    ) -> Response:
        """Send one message and return the response, whatever its status. Raises HostGone."""
        sent = [_JSON, _ACCEPT, *own, *self._passed(call)]
        request = Request(
            b"POST", self.target, sent, body, is_repeatable=is_repeatable, is_lasting=is_lasting, call=call
        )
        return await self._send(request)

    async def get(self, own: Headers, call: Call | None) -> Response:
        """Open an event stream and return the response, whatever its status. Raises HostGone."""
        sent = [_ACCEPT_STREAM, *own, *self._passed(call)]
        return await self._send(Request(b"GET", self.target, sent, is_repeatable=True, is_lasting=True, call=call))

    async def delete(self, own: Headers, call: Call | None) -> Response:
        """End a session and return the response, whatever its status. Raises HostGone."""
        sent = [*own, *self._passed(call)]
        return await self._send(Request(b"DELETE", self.target, sent, is_repeatable=True, call=call))

    async def refused(self, response: Response, asked: Message) -> Message:
        """Return the JSON-RPC error a response of another status than 200 carries, under the id that was asked with.

        Raises HostBusy where the server wants to be asked later, HostGone where there is no such error.
        """
        status, where = response.status, self.where
        if status == 429 or (status == 503 and b"retry-after" in response.headers):
            after = response.headers.get(b"retry-after", b"").decode("latin-1")
            later = f", in {after} s" if after.isdigit() else ""
            raise HostBusy(f"{where} answered {status}: it takes no more now; ask again later{later}")
        if status in (401, 403):
            challenge = response.headers.get(b"www-authenticate") if self.is_near else None
            text = f"{where} answered {status}: it does not accept the credentials that were sent"
            raise NotLetIn(text, status, challenge)
        if 300 <= status < 400:
            raise HostGone(f"{where} answered {status}{_location(response)}; redirects are not followed")
        error = await self.error(response)
        if error is not None:
            return Message("response", id=asked.id, error=error)
        raise HostGone(f"{where} answered {status} to {asked.method!r}, without a JSON-RPC error that would say why")

    async def error(self, response: Response) -> dict[str, Any] | None:
        """Return the JSON-RPC error in the body of a refusal, None where there is none."""
        if not is_json(response):
            return None
        try:
            body = await response.read(ERROR_BYTES)
        except HostGone:
            return None  # the status alone is told then
        return self.error_in(body)

    def error_in(self, body: bytes) -> dict[str, Any] | None:
        """Return the JSON-RPC error a body is, None where it is something else."""
        try:
            found = parse(body, self.where)
        except HostGone:
            return None
        return found[0].error if len(found) == 1 and found[0].kind == "response" else None

    def _passed(self, call: Call | None) -> Sequence[tuple[bytes, bytes]]:
        return self.passed(call) if call is not None else ()

    async def _send(self, request: Request) -> Response:
        """Send with credentials; once more with fresh ones after a 401, which means that nothing was done."""
        own = request.headers
        given = await self.credentials.headers()
        request.headers = _joined(own, given)
        response = await self.transport.send(request)
        if response.status != 401 or not await self.credentials.renew(given):
            return response
        response.close()
        request.headers = _joined(own, await self.credentials.headers())
        return await self.transport.send(request)


def _joined(own: Headers, given: Headers) -> Headers:
    """Return both; what was given to let us in wins over a caller's header of that name."""
    if not given:
        return own
    names = {name for name, _ in given}
    return [*(pair for pair in own if pair[0] not in names), *given]


def _location(response: Response) -> str:
    """Return where a redirect leads, without its query."""
    location = response.headers.get(b"location", b"").partition(b"?")[0].decode("latin-1")
    return f" (to {location[:200]!r})" if location.isprintable() and location else ""
