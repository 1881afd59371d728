"""Hosting objects of the official Python SDK v2, `MCPServer` and lowlevel `Server`, by direct call."""

import functools
import logging
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, Final, Literal, cast

import msgspec
from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.server.runner import aclose_shielded
from mcp_types import CallToolRequestParams
from mcp_types.methods import is_input_required, validate_client_request
from pydantic import ValidationError
from starlette.routing import Route

from portside.errors import StartFailed
from portside.hosting.base import Back, Call, Description, Link
from portside.hosting.lifespan import Lifespan
from portside.hosting.python import v2_announced, v2_kernel, v2_state, v2_tools
from portside.hosting.python.v2_arguments import BULKY_BYTES, Readers
from portside.hosting.python.v2_kernel import RequestContext, Runner
from portside.hosting.python.v2_links import LegacyLink, ModernLink, Silent
from portside.hosting.python.v2_parameters import MirroredArguments
from portside.hosting.python.v2_tools import CompiledTool, ToolTable
from portside.hosting.telling import Telling
from portside.wire import classify
from portside.wire.message import Message
from portside.wire.session import SessionRecord

_log = logging.getLogger("portside.hosting")

Dispatch = Literal["compiled", "tool", "kernel"]
LIST_PAGES: Final = 100

_encode = msgspec.json.Encoder().encode
_PLAIN_PARAMS = frozenset({"name", "arguments", "_meta"})


class PythonV2Host:
    """One SDK v2 server object, its lifespan entered once, serving both eras."""

    def __init__(
        self,
        server: MCPServer[Any] | Server[Any],
        *,
        dispatch: Dispatch = "compiled",
        sync_tools: Literal["thread", "loop"] = "thread",
        secrets: Sequence[bytes] = (),
        family: str = "official SDK v2",
        package: str = "mcp",
    ) -> None:
        self.high = server if isinstance(server, MCPServer) else None
        self.low: Server[Any] = cast("Any", server)._lowlevel_server if isinstance(server, MCPServer) else server
        v2_state.share(self.low.middleware, secrets)
        self.dispatch: Dispatch = dispatch
        self.in_thread = sync_tools == "thread"
        self.table: ToolTable | None = None
        self.tools: ToolTable | None = None
        self.readers = Readers()
        self.state: Any = None
        self.stamp: dict[str, Any] = {}
        self._family = f"{family} ({type(server).__name__})"
        self._version = version(package)
        self._lifespan: Lifespan[Any] | None = None
        self.mirrored = MirroredArguments(self.low, self.list_tools)
        self._known_envelopes: set[tuple[bytes, str]] = set()
        self._telling: list[tuple[Telling, Callable[[], None]]] = []

    def prepare(self) -> None:
        """Set what a family keeps in context variables; called at the start of every exchange."""

    async def start(self) -> None:
        """Refuse what cannot be honoured, enter the server's lifespan, compile its tools. Raises StartFailed."""
        self.refuse_unserved()
        self.prepare()
        self._lifespan = Lifespan(self.low.lifespan(self.low))
        self.state = await self._lifespan.start()
        self.stamp = self.low.server_info_stamp
        if self.high is not None:
            if not self.in_thread:
                _call_on_loop(self.high)
            self.table = v2_tools.tool_table(self.high)
            is_short = self.dispatch != "kernel" and v2_tools.may_leave_kernel(self.high)
            self.tools = self.table if is_short else None

    def refuse_unserved(self) -> None:
        """Raise StartFailed where the object brings something that would be dropped in silence."""
        if self.high is not None and self.high.settings.auth is not None:
            raise StartFailed(
                f"{self.high.name!r} brings its own authentication (MCPServer(auth=...)), which this version of "
                "portside does not run",
                hint="remove auth= and token_verifier= and put an authenticating gateway in front",
            )

    @property
    def routes(self) -> list[Route]:
        """HTTP routes the object brings beside MCP (`@server.custom_route`)."""
        return list(cast("Any", self.high)._custom_starlette_routes) if self.high is not None else []

    @property
    def description(self) -> Description:
        return Description(
            name=self.low.name,
            family=self._family,
            version=self._version,
            eras=("modern", "legacy"),
            paths={name: self._path(name) for name in self._tool_names()},
            announces=v2_announced.bus(self.low) is not None,
        )

    def _tool_names(self) -> list[str]:
        return [] if self.high is None else list(cast("Any", self.high)._tool_manager._tools)

    def _path(self, name: str) -> str:
        if self.tools is None:
            return "kernel"
        return "compiled" if self.dispatch == "compiled" and self.tools.find(name) is not None else "tool"

    async def open(self, session: SessionRecord | None, back: Back) -> Link:
        """Return a link; what the server publishes on its subscription bus is told to that of stateless exchanges."""
        if session is not None:
            return LegacyLink(self, session, back)
        telling = Telling(back)
        stop = v2_announced.overhear(self.low, telling.tell)
        if stop is not None:
            self._telling.append((telling, stop))
        return ModernLink(self)

    async def ping(self) -> None:
        """In process: whoever can ask is answered."""

    async def close(self) -> None:
        overheard, self._telling = self._telling, []
        for telling, stop in overheard:
            stop()
            await telling.close()
        if self._lifespan is not None:
            lifespan, self._lifespan = self._lifespan, None
            await lifespan.stop()

    async def list_tools(self, call: Call) -> dict[str, object]:
        """Return the input schemas of all tools that this caller may see, by name."""
        found: dict[str, object] = {}
        cursor: object = None
        for _ in range(LIST_PAGES):
            meta = {classify.META_REVISION: call.revision, classify.META_CAPABILITIES: call.capabilities}
            params: dict[str, Any] = {"_meta": meta} if cursor is None else {"_meta": meta, "cursor": cursor}
            connection = v2_kernel.modern_connection(Silent(), call)
            try:
                context = RequestContext(0, params, Silent(), call)
                result = await Runner(self.low, connection, self.state).on_request(context, "tools/list", params)
            finally:
                await aclose_shielded(connection)
            found |= {tool["name"]: tool.get("inputSchema") for tool in result.get("tools", [])}
            cursor = result.get("nextCursor")
            if not isinstance(cursor, str):
                break
        return found

    def plain_call(self, method: str, params: dict[str, Any] | None) -> CompiledTool | None:
        """Return the compiled tool for a call that needs nothing of the SDK but the tool's own model."""
        if method != "tools/call" or self.tools is None or self.dispatch != "compiled" or params is None:
            return None
        name = params.get("name")
        if type(name) is not str or not params.keys() <= _PLAIN_PARAMS:
            return None
        if self.high is not None and len(self.high.middleware) > 2:
            return None  # middleware was added while running
        return self.tools.find(name)

    def check_call(self, params: dict[str, Any], revision: str) -> None:
        """Check the params of a plain call as the SDK would. Raises ValidationError.

        Clients repeat their envelope in every request; one that was found good is not taken apart again.
        """
        meta: Any = params.get("_meta")
        rest = type(params.get("arguments")) is dict or "arguments" not in params
        envelope = _envelope(meta) if rest else None
        if envelope is not None and (envelope, revision) in self._known_envelopes:
            return
        validate_client_request("tools/call", revision, params)
        if envelope is not None:
            if len(self._known_envelopes) >= 1000:
                self._known_envelopes.clear()
            self._known_envelopes.add((envelope, revision))

    async def run_compiled(self, tool: CompiledTool, asked: Message, revision: str) -> dict[str, Any]:
        """Return the result of a plain tool. Raises MCPError, Asked, or ValidationError for malformed params."""
        params = asked.params or {}
        self.check_call(params, revision)
        size = asked.size
        read = None if size <= BULKY_BYTES else functools.partial(self.readers.read, size=size)
        try:
            value = await tool.run(params.get("arguments") or {}, in_thread=self.in_thread, read=read)
            return tool.result(value, revision)
        except ToolError as error:
            return v2_tools.failed(tool.tool.name, error)

    async def refused(self, asked: Message, revision: str) -> dict[str, Any] | None:
        """Return the tool error for bulky arguments that do not fit, None for a call that may go on.

        For what the SDK validates itself: its report would name every wrong element. The tool's own validators run
        twice on such arguments. Raises ValidationError for malformed params.
        """
        params, size = asked.params or {}, asked.size
        name, arguments = params.get("name"), params.get("arguments")
        if size <= BULKY_BYTES or self.table is None or type(name) is not str or not isinstance(arguments, dict):
            return None
        tool = self.table.get(name)
        if type(tool) is not Tool:
            return None
        validate_client_request("tools/call", revision, params)
        try:
            await self.readers.read(tool, cast("dict[str, Any]", arguments), size)
        except ValidationError as error:
            return v2_tools.refused(name, error)
        except Exception as error:
            _log.debug("a validator of %s failed; the call will say so: %s", name, type(error).__name__)
        return None

    async def seal_question(
        self, runner: Runner, context: RequestContext, params: dict[str, Any], asked: v2_tools.Asked
    ) -> dict[str, Any]:
        """Return the wire form of a plain tool's question, its state sealed by the server's own boundary."""

        async def handler(_: ServerRequestContext[Any, Any]) -> dict[str, Any]:
            return v2_kernel.question_result("tools/call", asked.result)

        boundary = None if self.high is None else v2_tools.boundary(self.high)
        request = runner.request_context(context, "tools/call", params)
        return await (handler(request) if boundary is None else boundary(request, handler))

    async def run_tool(self, runner: Runner, context: RequestContext, params: dict[str, Any]) -> dict[str, Any]:
        """Return the result of a tool that uses the SDK's context, inside the requestState boundary only."""
        high = self.high
        boundary = None if high is None else v2_tools.boundary(high)
        if high is None or boundary is None:
            return await runner.on_request(context, "tools/call", params)
        revision = runner.connection.protocol_version
        validate_client_request("tools/call", revision, params)

        async def handler(request: ServerRequestContext[Any, Any]) -> dict[str, Any]:
            typed = CallToolRequestParams.model_validate(request.params or {}, by_name=False)
            tools = Context(
                request_context=request,
                mcp_server=high,
                input_params=typed,
                subscriptions=cast("Any", high)._subscriptions,
            )
            try:
                result = await high.call_tool(typed.name, typed.arguments or {}, tools)
            except ToolError as error:
                return v2_tools.failed(typed.name, error)
            if is_input_required(result):
                return v2_kernel.question_result("tools/call", result)
            return v2_tools.wire_result(result, revision)

        return await boundary(runner.request_context(context, "tools/call", params), handler)


def _envelope(meta: object) -> bytes | None:
    """Return what a request's `_meta` has in common with its sender's others, None where it is out of the ordinary."""
    if meta is None:
        return b""
    if not isinstance(meta, dict):
        return None
    members = cast("dict[str, Any]", meta)
    if "progressToken" in members:
        if type(members["progressToken"]) not in (str, int):
            return None
        members = {key: value for key, value in members.items() if key != "progressToken"}
    encoded = _encode(members)
    return encoded if len(encoded) <= 2000 else None


def _call_on_loop(server: MCPServer[Any]) -> None:
    """Make the server's sync tools run on the event loop, for code whose objects are bound to one thread."""
    for tool in cast("Any", server)._tool_manager._tools.values():
        if not tool.is_async:
            tool.fn, tool.is_async = _awaitable(tool.fn), True


def _awaitable(function: Any) -> Any:
    async def call(**arguments: Any) -> Any:
        return function(**arguments)

    return call
