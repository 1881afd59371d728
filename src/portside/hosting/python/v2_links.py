"""The links to a server object of SDK v2: stateless exchanges, and the sessions of the legacy era."""

import logging
from typing import TYPE_CHECKING, Any, cast

from mcp.server.runner import aclose_shielded
from mcp.shared.exceptions import MCPError
from mcp.shared.jsonrpc_dispatcher import handler_exception_to_error_data

from portside.hosting import reports
from portside.hosting.base import Back, Call
from portside.hosting.python import v2_kernel, v2_tools
from portside.hosting.python.v2_kernel import RequestContext, Runner
from portside.hosting.python.v2_tools import CompiledTool
from portside.wire import classify, refusal
from portside.wire import message as messages
from portside.wire.message import Message
from portside.wire.refusal import Refusal
from portside.wire.session import SessionRecord

if TYPE_CHECKING:
    from portside.hosting.python.v2 import PythonV2Host

_log = logging.getLogger("portside.hosting")


class ModernLink:
    """Stateless exchanges: each request builds what the SDK calls a connection, for itself alone."""

    def __init__(self, host: "PythonV2Host") -> None:
        self._host = host

    def is_plain(self, message: Message) -> bool:
        tool = self._host.plain_call(message.method, message.params)
        return tool is not None and tool.tool.is_async

    async def request(self, message: Message, back: Back, call: Call) -> Message:
        host, params = self._host, message.params or {}
        host.prepare()
        try:
            if message.method == "tools/call":
                checking = host.mirrored.check(params, call)
                if checking is not None:
                    await checking
            tool = host.plain_call(message.method, params)
            result = await (
                self._run(message, back, call) if tool is None else self._run_compiled(tool, message, back, call)
            )
        except Exception as error:
            return failure(message, error)
        reports.cut_error(result)
        return messages.response(message.id, _stamped(result, host.stamp))

    async def _run_compiled(self, tool: CompiledTool, message: Message, back: Back, call: Call) -> dict[str, Any]:
        try:
            return await self._host.run_compiled(tool, message, call.revision)
        except v2_tools.Asked as asked:
            return await self._run(message, back, call, asked)

    async def _run(
        self, message: Message, back: Back, call: Call, asked: v2_tools.Asked | None = None
    ) -> dict[str, Any]:
        host = self._host
        connection = v2_kernel.modern_connection(back, call)
        runner = Runner(host.low, connection, host.state)
        context = RequestContext(message.id, message.params, back, call)
        try:
            if asked is not None:
                return await host.seal_question(runner, context, message.params or {}, asked)
            refused = await host.refused(message, call.revision) if message.method == "tools/call" else None
            if refused is not None:
                return refused
            if message.method == "tools/call" and host.tools is not None:
                return await host.run_tool(runner, context, message.params or {})
            return await runner.on_request(context, message.method, message.params)
        finally:
            await aclose_shielded(connection)

    async def notify(self, message: Message, call: Call) -> None:
        """Drop it: the modern core protocol defines no notification a client may send over HTTP."""

    async def close(self) -> None:
        """Nothing is held."""


class LegacyLink:
    """One legacy session: the SDK's connection, kept from handshake to close."""

    def __init__(self, host: "PythonV2Host", session: SessionRecord, back: Back) -> None:
        self._host = host
        self._connection = v2_kernel.legacy_connection(back, session.revision, session.id)
        self._runner = Runner(host.low, self._connection, host.state)

    def is_plain(self, message: Message) -> bool:
        tool = self._host.plain_call(message.method, message.params)
        return tool is not None and tool.tool.is_async

    async def request(self, message: Message, back: Back, call: Call) -> Message:
        self._host.prepare()
        try:
            result = await self._run(message, back, call)
        except Exception as error:
            return failure(message, error)
        reports.cut_error(result)
        return messages.response(message.id, result)

    async def _run(self, message: Message, back: Back, call: Call) -> dict[str, Any]:
        host, method, params = self._host, message.method, message.params
        is_open = self._connection.initialize_accepted
        tool = host.plain_call(method, params) if is_open else None
        if tool is not None:
            try:
                return await host.run_compiled(tool, message, call.revision)
            except v2_tools.Asked as asked:
                context = RequestContext(message.id, params, back, call)
                return await host.seal_question(self._runner, context, params or {}, asked)
        refused = await host.refused(message, call.revision) if method == "tools/call" and is_open else None
        if refused is not None:
            return refused
        context = RequestContext(message.id, params, back, call)
        if method == "tools/call" and host.tools is not None and is_open:
            return await host.run_tool(self._runner, context, params or {})
        return await self._runner.on_request(context, method, params)

    async def notify(self, message: Message, call: Call) -> None:
        self._host.prepare()
        context = RequestContext(None, message.params, Silent(), call)
        try:
            await self._runner.on_notify(context, message.method, message.params)
        except Exception:
            _log.exception("notification handler failed: %s", message.method)

    async def close(self) -> None:
        await aclose_shielded(self._connection)


class Silent:
    """A channel nobody listens on: what answers to a notification has nowhere to go."""

    async def notify(self, message: Message) -> None:
        return

    async def request(self, message: Message) -> Message:
        raise MCPError(code=refusal.INVALID_REQUEST, message="a notification has no back channel")


def failure(message: Message, error: Exception) -> Message:
    """Return the error answer for what a handler raised; what it did not mean to tell stays in the log."""
    if isinstance(error, Refusal):
        return messages.failure(message.id, error.code, error.message, error.data)
    known = handler_exception_to_error_data(error)
    if known is None:
        _log.error("request handler failed: %s", message.method, exc_info=error)
        return messages.failure(message.id, refusal.INTERNAL_ERROR, "Internal server error")
    data = known.model_dump(by_alias=True, mode="json", exclude_none=True)
    return messages.failure(message.id, data["code"], data["message"], data.get("data"))


def _stamped(result: dict[str, Any], stamp: dict[str, Any]) -> dict[str, Any]:
    """Add what every modern result carries, where the handler did not."""
    result.setdefault("resultType", "complete")
    meta = result.get("_meta")
    if meta is None:
        result["_meta"] = {classify.META_SERVER: stamp}
    elif isinstance(meta, dict) and cast("dict[str, Any]", meta).get(classify.META_SERVER) is None:
        result["_meta"] = {**cast("dict[str, Any]", meta), classify.META_SERVER: stamp}
    return result
