"""The official SDK v2's handler kernel, driven by a direct call: no streams, no task per message.

Everything taken from undocumented parts of the SDK is in the v2_* modules, pinned by the conformance suite.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import anyio
from mcp.server.connection import Connection
from mcp.server.context import HandlerResult, ServerRequestContext
from mcp.server.runner import ServerRunner, _extract_meta  # pyright: ignore[reportPrivateUsage]
from mcp.shared.dispatcher import CallOptions, OnNotify, OnRequest
from mcp.shared.exceptions import MCPError, NoBackChannelError
from mcp.shared.jsonrpc_dispatcher import progress_token_from_params
from mcp.shared.message import ServerMessageMetadata
from mcp.shared.transport_context import TransportContext
from mcp_types import REQUEST_TIMEOUT
from mcp_types.methods import is_input_required, serialize_server_result
from mcp_types.version import LATEST_MODERN_VERSION, MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError
from starlette.requests import Request

from portside.errors import NoBackChannel
from portside.hosting.base import Back, Call
from portside.wire import message
from portside.wire.message import Id

_CHANGES = frozenset(
    {
        "notifications/tools/list_changed",
        "notifications/prompts/list_changed",
        "notifications/resources/list_changed",
        "notifications/resources/updated",
    }
)


async def ask(back: Back, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None) -> dict[str, Any]:
    """Put a server's question to its client and return the raw result, as the SDK's dispatchers do.

    Raises MCPError with the client's own error, NoBackChannelError where nobody can answer.
    """
    question = message.request(0, method, None if params is None else dict(params))
    try:
        async with asyncio.timeout((opts or {}).get("timeout")):
            answer = await back.request(question)
    except NoBackChannel as error:
        raise NoBackChannelError(method) from error
    except TimeoutError:
        raise MCPError(code=REQUEST_TIMEOUT, message=f"Timed out waiting for a response to {method!r}") from None
    if answer.error is not None:
        raise MCPError(answer.error["code"], answer.error["message"], answer.error.get("data"))
    return answer.result or {}


class ConnectionOutbound:
    """What the SDK sends on the connection as a whole: the standalone stream of a legacy session."""

    def __init__(self, back: Back) -> None:
        self._back = back

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        return await ask(self._back, method, params, opts)

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None) -> None:
        await self._back.notify(message.notification(method, None if params is None else dict(params)))


class ExchangeOutbound(ConnectionOutbound):
    """The same for a modern exchange, which has no connection: questions go to the caller, the rest nowhere.

    Change notifications reach modern clients on `subscriptions/listen` streams only (MCP 2026-07-28, Subscriptions),
    and log messages on the stream of the request that asked for them, which is the other channel.
    """

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None) -> None:
        return


class RequestContext:
    """The SDK's DispatchContext for one request (or one notification, then without `request_id`)."""

    def __init__(self, request_id: Id | None, params: Mapping[str, Any] | None, back: Back, call: Call) -> None:
        self.request_id = request_id
        self.can_send_request = True
        self.transport = TransportContext(kind="streamable-http", can_send_request=True)
        self.message_metadata = ServerMessageMetadata(
            request_context=_http_request(call),
            close_sse_stream=call.close_stream,
            close_standalone_sse_stream=call.close_standalone,
        )
        self._token = progress_token_from_params(params)
        self._back = back
        self._cancelled: anyio.Event | None = None

    @property
    def cancel_requested(self) -> anyio.Event:
        """An event that is never set: cancelling a call cancels its task."""
        if self._cancelled is None:
            self._cancelled = anyio.Event()
        return self._cancelled

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        return await ask(self._back, method, params, opts)

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None) -> None:
        await self._back.notify(message.notification(method, None if params is None else dict(params)))

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """Report progress, if the request asked for it."""
        if self._token is None:
            return
        params: dict[str, Any] = {"progressToken": self._token, "progress": progress}
        if total is not None:
            params["total"] = total
        if message is not None:
            params["message"] = message
        await self.notify("notifications/progress", params)


class Runner(ServerRunner[Any]):
    """The SDK's runner, except that a question returned on a legacy connection survives for the gateway to ask.

    The SDK's own runner would call an `input_required` result invalid there: legacy revisions have no such shape.
    """

    # The SDK keeps these, and so a runner would keep itself until the garbage is collected.
    @property
    def on_request(self) -> OnRequest:  # pyright: ignore[reportIncompatibleMethodOverride, reportIncompatibleVariableOverride]
        """The entry for requests, bound to this runner anew each time."""
        return self._on_request

    @property
    def on_notify(self) -> OnNotify:  # pyright: ignore[reportIncompatibleMethodOverride, reportIncompatibleVariableOverride]
        """The entry for notifications."""
        return self._on_notify

    def request_context(
        self, context: RequestContext, method: str, params: Mapping[str, Any]
    ) -> ServerRequestContext[Any, Any]:
        """Return what the SDK hands its handlers and middleware for one request."""
        return self._make_context(context, method, params, _extract_meta(params), self.connection.protocol_version)

    def _serialize(self, method: str, version: str, result: HandlerResult) -> dict[str, Any]:
        if version in MODERN_PROTOCOL_VERSIONS or not is_input_required(result):
            return super()._serialize(method, version, result)
        return question_result(method, result)


def question_result(method: str, result: HandlerResult) -> dict[str, Any]:
    """Return the wire form of an `input_required` result, by the revision that defines it.

    Raises MCPError -32603 where the hosted server made a malformed one.
    """
    raw = result if isinstance(result, dict) else _dumped(result)
    try:
        return serialize_server_result(method, LATEST_MODERN_VERSION, raw)
    except (ValidationError, KeyError):
        raise MCPError(code=-32603, message="Handler returned an invalid result") from None


def _dumped(result: HandlerResult) -> dict[str, Any]:
    if result is None or isinstance(result, dict):
        return result or {}
    return result.model_dump(by_alias=True, mode="json", exclude_none=True)


def legacy_connection(back: Back, revision: str, session_id: str) -> Connection:
    """Return the SDK's connection for a legacy session; its handshake is still to come."""
    return Connection.for_loop(ConnectionOutbound(back), session_id=session_id, protocol_version_hint=revision)


def modern_connection(back: Back, call: Call) -> Connection:
    """Return a connection for one modern request, ready for use."""
    return Connection.from_envelope(call.revision, call.client_info, call.capabilities, outbound=ExchangeOutbound(back))


def _http_request(call: Call) -> Request:
    """Return the request object user code finds as `ctx.request_context.request`."""
    return Request(
        {
            "type": "http",
            "method": "POST",
            "scheme": call.scheme,
            "path": call.path,
            "raw_path": call.path.encode(),
            "query_string": b"",
            "headers": list(call.headers),
            "client": call.client,
            "server": None,
            "state": {},
        }
    )
