"""Tools of the SDK's MCPServer, compiled at start: arguments validated by the tool's own model, the function called.

Three paths answer a `tools/call`, and must answer alike (tests/hosting/test_paths.py): *compiled* for plain tools,
*tool* (the SDK's tool object, inside its requestState boundary) for those that use its context, *kernel* for all else.
"""

import functools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, cast

import anyio.to_thread
from mcp.server._otel import OpenTelemetryMiddleware
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ToolError, UnexpectedResourceError, UnexpectedToolError
from mcp.server.mcpserver.resolve import returns_input_required
from mcp.server.mcpserver.tools import Tool, ToolManager
from mcp.server.request_state import RequestStateBoundary
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, InputRequiredResult
from mcp_types.methods import serialize_server_result
from opentelemetry import trace
from pydantic import BaseModel, ValidationError

from portside.hosting import reports

_sdk_log = logging.getLogger("mcp.server.mcpserver.server")

_EXACT: Final = (str, int, bool)
"""Return types whose validated, dumped form is the value itself."""


Read = Callable[[Tool, dict[str, Any]], Awaitable[BaseModel]]


class Asked(Exception):
    """A plain tool returned a question without having declared that it might; its state still has to be sealed."""

    def __init__(self, result: InputRequiredResult) -> None:
        super().__init__()
        self.result = result


@dataclass(frozen=True, slots=True)
class CompiledTool:
    """One plain tool, ready to call. Valid as long as the server's table still holds the same `tool` object."""

    tool: Tool
    model: type[BaseModel]
    fields: tuple[tuple[str, str], ...]
    texts: frozenset[str]
    exact: type | None

    async def run(self, arguments: dict[str, Any], *, in_thread: bool, read: Read | None = None) -> Any:
        """Return what the user's function returned. Raises what the SDK would: ToolError or MCPError.

        `read` makes the model of arguments that are too many to be read here.
        """
        tool = self.tool
        try:
            kwargs = self._validated(arguments) if read is None else self._fields_of(await read(tool, arguments))
        except ValidationError as error:
            raise ToolError(f"Error executing tool {tool.name}: {error}") from error
        except MCPError:
            raise
        except Exception as error:
            raise UnexpectedToolError(f"Error executing tool {tool.name}") from error
        try:
            if tool.is_async:
                return await tool.fn(**kwargs)
            if in_thread:
                return await anyio.to_thread.run_sync(functools.partial(tool.fn, **kwargs))
            return tool.fn(**kwargs)
        except MCPError:
            raise
        except Exception as error:
            raise _as_tool_error(tool.name, error) from error

    def _validated(self, arguments: dict[str, Any]) -> dict[str, Any]:
        for key, value in arguments.items():
            if type(value) is str and key not in self.texts:
                # The SDK reads JSON out of strings meant for other types; only then is its slower way needed.
                arguments = self.tool.fn_metadata.pre_parse_json(arguments)
                break
        return self._fields_of(self.model.model_validate(arguments))

    def _fields_of(self, model: BaseModel) -> dict[str, Any]:
        return {output: getattr(model, name) for name, output in self.fields}

    def result(self, value: Any, revision: str) -> dict[str, Any]:
        """Return the wire form of what the function returned, as the SDK would have made it. Raises Asked."""
        if type(value) is self.exact and type(value) is str:
            return {
                "content": [{"text": value, "type": "text"}],
                "isError": False,
                "structuredContent": {"result": value},
            }
        if type(value) is self.exact:
            text = str(value).lower() if self.exact is bool else str(value)
            return {
                "content": [{"text": text, "type": "text"}],
                "isError": False,
                "structuredContent": {"result": value},
            }
        result = converted(self.tool, value)
        if isinstance(result, InputRequiredResult):
            raise Asked(result)
        return wire_result(result, revision)


def converted(tool: Tool, value: Any) -> CallToolResult | InputRequiredResult:
    """Return the SDK's result object for a return value. Raises UnexpectedToolError where it does not fit."""
    try:
        return tool.fn_metadata.convert_result(value)
    except MCPError:
        raise
    except Exception as error:
        raise _as_tool_error(tool.name, error) from error


def wire_result(result: BaseModel, revision: str) -> dict[str, Any]:
    """Return the wire form of a result object at one revision."""
    dumped = result.model_dump(by_alias=True, mode="json", exclude_none=True)
    return serialize_server_result("tools/call", revision, dumped)


def failed(name: str, error: Exception) -> dict[str, Any]:
    """Return the tool error a client gets, and log it as the SDK's handler does: a crash with its stack."""
    if isinstance(error, ToolError) and not isinstance(error, UnexpectedToolError):
        _sdk_log.info("Tool %r failed: %s", name, type(error.__cause__ or error).__name__)
    else:
        _sdk_log.error("Tool %r raised an unexpected exception", name, exc_info=error)
    return {"content": [{"text": reports.cut(str(error)), "type": "text"}], "isError": True}


def refused(name: str, error: ValidationError) -> dict[str, Any]:
    """Return the tool error for arguments its model does not take, in the SDK's words."""
    told = ToolError(f"Error executing tool {name}: {error}")
    told.__cause__ = error
    return failed(name, told)


def _as_tool_error(name: str, error: Exception) -> ToolError:
    """Name the failure as `Tool.run` would: deliberate ones keep their text, crashes keep it to the log."""
    if isinstance(error, UnexpectedToolError | UnexpectedResourceError):
        return UnexpectedToolError(f"Error executing tool {name}: {error}")
    if isinstance(error, ToolError | ResourceError):
        return ToolError(f"Error executing tool {name}: {error}")
    return UnexpectedToolError(f"Error executing tool {name}")


def compile_tool(tool: Tool) -> CompiledTool | None:
    """Return the compiled form of a plain tool, None for one that uses the SDK's context or resolvers."""
    meta = tool.fn_metadata
    if type(tool) is not Tool or tool.context_kwarg is not None or tool.resolved_params:
        return None
    if returns_input_required(tool.fn):
        return None
    if meta.output_schema is not None and meta.output_model is None:
        return None
    model: type[BaseModel] = meta.arg_model
    fields = tuple((name, field.alias or name) for name, field in model.model_fields.items())
    texts = [name for name, field in model.model_fields.items() if field.annotation is str]
    texts += [field.alias for field in model.model_fields.values() if field.annotation is str and field.alias]
    return CompiledTool(tool, model, fields, frozenset(texts), _exact_type(tool))


def _exact_type(tool: Tool) -> type | None:
    """Return str, int or bool where the tool returns exactly that, wrapped and unconstrained."""
    meta = tool.fn_metadata
    output: object = meta.output_model
    if not meta.wrap_output or not isinstance(output, type) or not issubclass(output, BaseModel):
        return None
    field = output.model_fields.get("result")
    if field is None or field.metadata:
        return None
    annotation: object = field.annotation
    return next((kind for kind in _EXACT if annotation is kind), None)


class ToolTable:
    """The compiled tools of one MCPServer, kept in step with what it registers and removes while it runs."""

    def __init__(self, server: MCPServer[Any]) -> None:
        self._server = server
        self._registered: dict[str, Tool] = cast("Any", server)._tool_manager._tools
        self._compiled: dict[str, CompiledTool | None] = {}
        self._tools: dict[str, Tool] = {}

    def find(self, name: str) -> CompiledTool | None:
        """Return the compiled tool, None where there is none of that name or it is not plain."""
        tool = self._registered.get(name)
        if tool is None:
            return None
        if self._tools.get(name) is not tool:
            self._tools[name] = tool
            self._compiled[name] = compile_tool(tool)
        return self._compiled[name]

    def get(self, name: str) -> Tool | None:
        """Return the SDK's tool object."""
        return self._registered.get(name)

    def names(self) -> list[str]:
        """Return the names of all tools there are now."""
        return list(self._registered)


def tool_table(server: MCPServer[Any]) -> ToolTable | None:
    """Return the table of a server's tools, None where its author changed how they are called."""
    low: Any = cast("Any", server)._lowlevel_server
    entry = low.get_request_handler("tools/call")
    manager: object = cast("Any", server)._tool_manager
    changed = (
        type(server)._handle_call_tool is not MCPServer._handle_call_tool  # pyright: ignore[reportPrivateUsage]
        or type(server).call_tool is not MCPServer.call_tool
        or type(manager) is not ToolManager
        or entry is None
        or getattr(entry.handler, "__func__", None) is not MCPServer._handle_call_tool  # pyright: ignore[reportPrivateUsage]
    )
    return None if changed else ToolTable(server)


def may_leave_kernel(server: MCPServer[Any]) -> bool:
    """Say whether tools may be called past the kernel, where there is a table of them.

    The shorter paths skip middleware and interceptors, so any of them keeps the kernel; so does a configured
    OpenTelemetry provider, since the SDK's span is made in its middleware.
    """
    return boundary(server) is not None and not _is_traced()


def boundary(server: MCPServer[Any]) -> Callable[..., Any] | None:
    """Return the server's requestState boundary where nothing else stands in its middleware, else None."""
    ours = [layer for layer in server.middleware if not isinstance(layer, OpenTelemetryMiddleware)]
    return ours[0] if len(ours) == 1 and isinstance(ours[0], RequestStateBoundary) else None


def _is_traced() -> bool:
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider | trace.NoOpTracerProvider)
