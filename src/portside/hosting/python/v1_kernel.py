"""The official SDK v1's session, driven by a direct call: no streams, no receive loop, no task per message.

Everything taken from undocumented parts of SDK v1 is in the v1 modules, pinned by the tests of the families. The SDK
is imported by name: v1 and v2 share theirs, so a type checker that resolves v2 would misread every line.
"""

import asyncio
from contextvars import ContextVar
from datetime import timedelta
from importlib import import_module
from typing import Any, Final, cast, get_args

from portside.errors import NoBackChannel
from portside.hosting.base import Back, Call
from portside.wire import message as messages
from portside.wire import refusal
from portside.wire.message import Message

sdk: Final[Any] = import_module("mcp.types")
_auth: Final[Any] = import_module("mcp.server.auth.middleware.auth_context")
_bearer: Final[Any] = import_module("mcp.server.auth.middleware.bearer_auth")
_provider: Final[Any] = import_module("mcp.server.auth.provider")
_exceptions: Final[Any] = import_module("mcp.shared.exceptions")
_metadata: Final[Any] = import_module("mcp.shared.message")
_requests: Final[Any] = import_module("starlette.requests")

TIMED_OUT: Final = 408
"""What the SDK answers its caller with when a client does not answer in time."""

_SESSION_HEADER: Final = b"mcp-session-id"

_CHANGES = frozenset(
    {
        "notifications/tools/list_changed",
        "notifications/prompts/list_changed",
        "notifications/resources/list_changed",
        "notifications/resources/updated",
    }
)


def _by_method(union: Any) -> dict[str, Any]:
    """Return the members of one of the SDK's message unions by their method."""
    members = get_args(union.model_fields["root"].annotation)
    return {get_args(member.model_fields["method"].annotation)[0]: member for member in members}


_REQUESTS: Final = _by_method(sdk.ClientRequest)
_NOTIFICATIONS: Final = _by_method(sdk.ClientNotification)


def is_request(method: str) -> bool:
    """Say whether the SDK has a shape for requests of this method."""
    return method in _REQUESTS


def parse_request(message: Message) -> Any:
    """Return the SDK's form of a request it knows. Raises pydantic's ValidationError."""
    return sdk.ClientRequest.model_construct(root=_REQUESTS[message.method].model_validate(_body(message)))


def parse_notification(message: Message) -> Any:
    """Return the SDK's form of a notification, None for one it does not know. Raises pydantic's ValidationError."""
    kind = _NOTIFICATIONS.get(message.method)
    return None if kind is None else sdk.ClientNotification.model_construct(root=kind.model_validate(_body(message)))


def _body(message: Message) -> dict[str, Any]:
    body: dict[str, Any] = {"method": message.method}
    return body if message.params is None else {**body, "params": message.params}


class Exchange:
    """One request being handled: the SDK's RequestResponder, except that the answer is kept and not written away."""

    cancelled: Final = False
    """Cancelling a call cancels its task, so the SDK never has to look."""

    def __init__(self, message: Message, request: Any, http: Any, back: Back, call: Call) -> None:
        params = request.root.params
        self.request_id = message.id
        self.request_meta: Any = params.meta if params else None
        self.request = request
        self.message_metadata: Any = _metadata.ServerMessageMetadata(
            request_context=http,
            close_sse_stream=call.close_stream,
            close_standalone_sse_stream=call.close_standalone,
        )
        self.back = back
        self.is_open = True
        self.answer: Any = None

    def __enter__(self) -> "Exchange":
        return self

    def __exit__(self, *_: object) -> None:
        return

    @property
    def _completed(self) -> bool:
        return self.answer is not None

    async def respond(self, response: Any) -> None:
        """Keep the answer; called by the SDK once per request."""
        self.answer = response

    def reply(self) -> Message:
        """Return the answer in its wire form, as the SDK's own session would have sent it."""
        body = self.answer.model_dump(by_alias=True, mode="json", exclude_none=True)
        if isinstance(self.answer, sdk.ErrorData):
            return messages.failure(self.request_id, body["code"], body["message"], body.get("data"))
        return messages.response(self.request_id, body)


_current: ContextVar[Exchange | None] = ContextVar("portside_exchange", default=None)


class Streamless:
    """What a ServerSession says to its client, put to the gateway's channels instead of a stream."""

    _request_id: int
    _progress_callbacks: dict[str | int, Any]

    def connect(self, back: Back) -> None:
        """Set the connection's own channel, for what belongs to no request."""
        # The base class makes streams for a receive loop that never runs; open ones would be reported when collected.
        streams = cast("Any", self)
        streams._incoming_message_stream_writer.close()
        streams._incoming_message_stream_reader.close()
        self._connection = back
        self._exchanges: dict[str, Exchange] = {}

    def begin(self, exchange: Exchange) -> None:
        """Take a request in: what it says from now on goes to its sender."""
        _current.set(exchange)
        self._exchanges[str(exchange.request_id)] = exchange

    def end(self, exchange: Exchange) -> None:
        """Forget a request; what its left-over tasks still say goes to the connection."""
        exchange.is_open = False
        if self._exchanges.get(str(exchange.request_id)) is exchange:
            del self._exchanges[str(exchange.request_id)]

    def _back(self, related: str | int | None) -> Back:
        # SDK v1 hands request ids out as strings, so 1 and "1" look alike: the running request goes first.
        current = _current.get()
        if current is not None and not current.is_open:
            current = None
        if related is not None and (current is None or str(current.request_id) != str(related)):
            current = self._exchanges.get(str(related))
        return self._connection if current is None else current.back

    async def send_request(
        self,
        request: Any,
        result_type: Any,
        request_read_timeout_seconds: timedelta | None = None,
        metadata: Any = None,
        progress_callback: Any = None,
    ) -> Any:
        """Ask the client. Raises McpError with the client's own error, on time-out, or where nobody can answer."""
        body = request.model_dump(by_alias=True, mode="json", exclude_none=True)
        params: dict[str, Any] | None = body.get("params")
        token, self._request_id = self._request_id, self._request_id + 1
        if progress_callback is not None:
            self._progress_callbacks[token] = progress_callback
            params = params or {}
            params["_meta"] = {**params.get("_meta", {}), "progressToken": token}
        question = messages.request(token, body["method"], params)
        seconds = None if request_read_timeout_seconds is None else request_read_timeout_seconds.total_seconds()
        try:
            async with asyncio.timeout(seconds):
                answer = await self._back(getattr(metadata, "related_request_id", None)).request(question)
        except NoBackChannel as error:
            raise _error(refusal.INVALID_REQUEST, f"Nobody can answer {body['method']!r} now") from error
        except TimeoutError:
            waited = f"Timed out while waiting for response to {type(request).__name__}. Waited {seconds} seconds."
            raise _error(TIMED_OUT, waited) from None
        finally:
            self._progress_callbacks.pop(token, None)
        if answer.error is not None:
            raise _error(answer.error["code"], answer.error["message"], answer.error.get("data"))
        return result_type.model_validate(answer.result)

    async def send_notification(self, notification: Any, related_request_id: str | int | None = None) -> None:
        """Tell the client something: on the request it belongs to, changes of lists on the connection."""
        body = notification.model_dump(by_alias=True, mode="json", exclude_none=True)
        told = messages.notification(body["method"], body.get("params"))
        is_common = related_request_id is None and told.method in _CHANGES
        await (self._connection if is_common else self._back(related_request_id)).notify(told)

    async def progress(self, params: Any) -> None:
        """Hand a client's progress on one of our questions to whoever asked to hear it."""
        callback = self._progress_callbacks.get(params.progressToken)
        if callback is not None:
            await callback(params.progress, params.total, params.message)


def session_kind(base: type[Any]) -> type[Any]:
    """Return a session class of the SDK (or one derived from it) without its streams."""
    return type(f"Streamless{base.__name__}", (Streamless, base), {})


def _error(code: int, text: str, data: Any = None) -> Exception:
    return _exceptions.McpError(sdk.ErrorData(code=code, message=text, data=data))


def http_request(call: Call, session_id: str) -> Any:
    """Return the request object user code finds in its context, and tell the SDK on whose behalf it runs.

    A session header that is not this session's own is left out: fastmcp keys a session's state by it.
    """
    user = None if call.principal is None else _user(call)
    _auth.auth_context_var.set(user)
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "scheme": call.scheme,
        "path": call.path,
        "raw_path": call.path.encode(),
        "query_string": b"",
        "headers": [one for one in call.headers if one[0] != _SESSION_HEADER or one[1] == session_id.encode()],
        "client": call.client,
        "server": None,
        "state": {},
    }
    return _requests.Request(scope if user is None else {**scope, "user": user})


def _user(call: Call) -> Any:
    header = next((value for name, value in call.headers if name == b"authorization"), b"").decode("latin-1")
    token = header[7:] if header[:7].lower() == "bearer " else ""
    return _bearer.AuthenticatedUser(_provider.AccessToken(token=token, client_id=call.principal, scopes=[]))
