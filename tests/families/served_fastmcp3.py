"""What the tests of the fastmcp 3 adapter host: one server with middleware and a mounted one, and what they call."""
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportCallIssue=false
# The checker's environment has fastmcp 4 and SDK v2, whose names and signatures differ.

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, cast

import mcp.types as types
from fastmcp import Context, FastMCP
from fastmcp.server.auth import StaticTokenVerifier
from fastmcp.server.dependencies import get_access_token, get_http_request
from fastmcp.server.middleware import Middleware
from pydantic import BaseModel
from starlette.responses import PlainTextResponse

from portside.hosting.python.fastmcp_v3 import FastmcpV3Host

EVENTS: list[str] = []
"""What happened outside any answer."""

TOLD_BY_LIFESPAN: ContextVar[str] = ContextVar("told_by_lifespan", default="nothing")

GO = asyncio.Event()
"""Set to make what `later` left running speak."""

LEFT_RUNNING: set[asyncio.Task[None]] = set()

SEEN: list[str] = []
"""What the middleware saw."""

host = FastmcpV3Host


class Point(BaseModel):
    """A structured result."""

    x: int
    y: float = 0.5


class Answer(BaseModel):
    """A form with one field."""

    name: str


class Watching(Middleware):
    """Notes handshakes, and runs a task beside each session that asks for one."""

    async def on_initialize(self, context: Any, call_next: Any) -> Any:
        """Note the client, the header and what is answered."""
        result = await call_next(context)
        probe = get_http_request().headers.get("x-probe")
        SEEN.append(f"{context.message.params.clientInfo.name} {probe} {result.serverInfo.name}")
        return result


@asynccontextmanager
async def lifespan(server: Any) -> AsyncIterator[dict[str, str]]:
    """Note when the server opens and closes."""
    EVENTS.append("opened")
    TOLD_BY_LIFESPAN.set("something")
    yield {"state": "kept"}
    EVENTS.append("closed")


def build() -> FastMCP:
    """Return a server with everything the tests call."""
    server = FastMCP("served-fastmcp3", lifespan=lifespan, middleware=[Watching()])

    @server.tool
    def add(a: int, b: int) -> int:
        return a + b

    @server.tool
    def where() -> str:
        return "loop" if threading.current_thread() is threading.main_thread() else "thread"

    @server.tool
    async def echo(text: str) -> str:
        return text

    @server.tool
    def point(x: int) -> Point:
        return Point(x=x)

    @server.tool
    def fail() -> str:
        raise ValueError("on purpose")

    @server.tool
    def stop() -> str:
        raise StopIteration("early")

    @server.tool
    async def report(ctx: Context) -> str:
        await ctx.report_progress(1, 2, "half")
        await ctx.info("noted")
        return "reported"

    @server.tool
    async def ask(question: str, ctx: Context) -> str:
        answer = await ctx.elicit(question, response_type=Answer)
        return answer.data.name if answer.action == "accept" else answer.action

    @server.tool
    async def sample(ctx: Context) -> str:
        message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text="capital?"))
        answer = await ctx.session.create_message([message], max_tokens=10)
        return answer.content.text

    @server.tool
    async def roots(ctx: Context) -> list[str]:
        return [str(root.uri) for root in await ctx.list_roots()]

    @server.tool
    async def patient(ctx: Context) -> str:
        heard: list[str] = []

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            heard.append(f"{progress}/{total} {message}")

        await ctx.session.send_request(
            types.ServerRequest(types.ListRootsRequest()), types.ListRootsResult, progress_callback=hear
        )
        return ", ".join(heard)

    @server.tool
    async def impatient(ctx: Context) -> str:
        session: Any = ctx.session
        await session.send_request(
            types.ServerRequest(types.ListRootsRequest()),
            types.ListRootsResult,
            request_read_timeout_seconds=timedelta(milliseconds=1),
        )
        return "answered"

    @server.tool
    async def announce(ctx: Context) -> str:
        await ctx.send_notification(types.ToolListChangedNotification())
        return "announced"

    @server.tool
    async def hang(ctx: Context) -> str:
        try:
            await ctx.report_progress(0, 1, "started")
            await asyncio.Event().wait()
        finally:
            EVENTS.append("cancelled")
        return "never"

    @server.tool
    async def later(ctx: Context) -> str:
        session = ctx.session

        async def speak() -> None:
            await GO.wait()
            await session.send_log_message("info", "left over")

        task = asyncio.create_task(speak())
        LEFT_RUNNING.add(task)
        task.add_done_callback(LEFT_RUNNING.discard)
        return "left"

    @server.tool
    async def context(ctx: Context) -> dict[str, Any]:
        return found(ctx)

    @server.tool
    def context_of_sync_tool(ctx: Context) -> dict[str, Any]:
        return found(ctx)

    def found(ctx: Context) -> dict[str, Any]:
        token = get_access_token()
        return {
            "probe": get_http_request().headers.get("x-probe"),
            "session": get_http_request().headers.get("mcp-session-id"),
            "principal": None if token is None else token.client_id,
            "lifespan": ctx.lifespan_context["state"],
            "variable": TOLD_BY_LIFESPAN.get(),
            "client": cast("Any", ctx.session.client_params).clientInfo.name,
        }

    @server.tool
    async def transport(ctx: Context) -> str:
        return str(ctx.transport)

    @server.tool
    async def remember(text: str, ctx: Context) -> str | None:
        before = await ctx.get_state("text")
        await ctx.set_state("text", text)
        return before

    @server.tool
    async def hide(tool: str, ctx: Context) -> None:
        await ctx.disable_components(names={tool})

    @server.tool
    async def watch(ctx: Context) -> str:
        async def beside() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                SEEN.append("background ended")

        ctx.session._subscription_task_group.start_soon(beside)
        await asyncio.sleep(0)
        return "watching"

    @server.resource("test://text")
    def text() -> str:
        return "a text"

    @server.resource("test://item/{id}")
    def item(id: str) -> str:
        return f"item {id}"

    @server.prompt
    def greet(name: str) -> str:
        return f"Greet {name}"

    async def complete(request: types.CompleteRequest) -> types.ServerResult:
        found = types.Completion(values=[f"{request.params.argument.value}!"])
        return types.ServerResult(types.CompleteResult(completion=found))

    server._mcp_server.request_handlers[types.CompleteRequest] = complete

    @server.custom_route("/extra", methods=["GET"])
    async def extra(request: Any) -> PlainTextResponse:
        return PlainTextResponse("extra")

    server.mount(_child(), namespace="child")
    return server


def _child() -> FastMCP:
    child = FastMCP("child")

    @child.tool
    def hello() -> str:
        return "from the child"

    @child.custom_route("/child", methods=["GET"])
    async def page(request: Any) -> PlainTextResponse:
        return PlainTextResponse("child")

    return child


def unserved() -> dict[str, Any]:
    """Return servers that bring what portside does not run."""
    return {"auth": FastMCP("auth", auth=StaticTokenVerifier(tokens={"t": {"client_id": "c", "scopes": []}}))}
