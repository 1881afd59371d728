"""What the tests of the SDK v1 adapter host: one `FastMCP` and one lowlevel `Server`, each with what they call."""
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportCallIssue=false
# The checker's environment has SDK v2, which lacks these modules.

import asyncio
import threading
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import mcp.types as types
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.fastmcp import Context, FastMCP
from mcp.server.lowlevel import Server
from mcp.server.streamable_http import EventStore
from pydantic import BaseModel
from starlette.responses import PlainTextResponse

from portside.hosting.python.v1 import PythonV1Host

EVENTS: list[str] = []
"""What happened outside any answer."""

TOLD_BY_LIFESPAN: ContextVar[str] = ContextVar("told_by_lifespan", default="nothing")

GO = asyncio.Event()
"""Set to make what `later` left running speak."""

LEFT_RUNNING: set[asyncio.Task[None]] = set()

host = PythonV1Host


class Point(BaseModel):
    """A structured result."""

    x: int
    y: float = 0.5


class Answer(BaseModel):
    """A form with one field."""

    name: str


@asynccontextmanager
async def lifespan(server: Any) -> AsyncIterator[dict[str, str]]:
    """Note when the server opens and closes."""
    EVENTS.append("opened")
    TOLD_BY_LIFESPAN.set("something")
    yield {"state": "kept"}
    EVENTS.append("closed")


def build(**settings: Any) -> FastMCP:
    """Return a server with everything the tests call."""
    server = FastMCP("served-v1", lifespan=lifespan, **settings)

    @server.tool()
    def add(a: int, b: int) -> int:
        return a + b

    @server.tool()
    def where() -> str:
        return "loop" if threading.current_thread() is threading.main_thread() else "thread"

    @server.tool()
    async def echo(text: str) -> str:
        return text

    @server.tool()
    def point(x: int) -> Point:
        return Point(x=x)

    @server.tool()
    def fail() -> str:
        raise ValueError("on purpose")

    @server.tool()
    def stop() -> str:
        raise StopIteration("early")

    @server.tool()
    async def report(ctx: Context) -> str:
        await ctx.report_progress(1, 2, "half")
        await ctx.info("noted")
        return "reported"

    @server.tool()
    async def ask(question: str, ctx: Context) -> str:
        answer = await ctx.elicit(question, schema=Answer)
        return answer.data.name if answer.action == "accept" else answer.action

    @server.tool()
    async def sample(ctx: Context) -> str:
        message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text="capital?"))
        answer = await ctx.session.create_message([message], max_tokens=10)
        return answer.content.text

    @server.tool()
    async def roots(ctx: Context) -> list[str]:
        return [str(root.uri) for root in (await ctx.session.list_roots()).roots]

    @server.tool()
    async def patient(ctx: Context) -> str:
        heard: list[str] = []

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            heard.append(f"{progress}/{total} {message}")

        await ctx.session.send_request(
            types.ServerRequest(types.ListRootsRequest()), types.ListRootsResult, progress_callback=hear
        )
        return ", ".join(heard)

    @server.tool()
    async def impatient(ctx: Context) -> str:
        session: Any = ctx.session
        await session.send_request(
            types.ServerRequest(types.ListRootsRequest()),
            types.ListRootsResult,
            request_read_timeout_seconds=timedelta(milliseconds=1),
        )
        return "answered"

    @server.tool()
    async def announce(ctx: Context) -> str:
        await ctx.session.send_tool_list_changed()
        return "announced"

    @server.tool()
    async def hang(ctx: Context) -> str:
        try:
            await ctx.report_progress(0, 1, "started")
            await asyncio.Event().wait()
        finally:
            EVENTS.append("cancelled")
        return "never"

    @server.tool()
    async def later(ctx: Context) -> str:
        session = ctx.session

        async def speak() -> None:
            await GO.wait()
            await session.send_log_message("info", "left over")

        task = asyncio.create_task(speak())
        LEFT_RUNNING.add(task)
        task.add_done_callback(LEFT_RUNNING.discard)
        return "left"

    @server.tool()
    async def context(ctx: Context) -> dict[str, Any]:
        return found(ctx)

    @server.tool()
    def context_of_sync_tool(ctx: Context) -> dict[str, Any]:
        return found(ctx)

    def found(ctx: Context) -> dict[str, Any]:
        token = get_access_token()
        return {
            "probe": ctx.request_context.request.headers.get("x-probe"),
            "session": ctx.request_context.request.headers.get("mcp-session-id"),
            "principal": None if token is None else token.client_id,
            "lifespan": ctx.request_context.lifespan_context["state"],
            "variable": TOLD_BY_LIFESPAN.get(),
            "client": ctx.session.client_params.clientInfo.name,
        }

    @server.tool()
    async def grow(ctx: Context) -> str:
        def grown() -> str:
            return where()

        server.add_tool(grown)
        return "grown"

    @server.resource("test://text")
    def text() -> str:
        return "a text"

    @server.resource("test://item/{id}")
    def item(id: str) -> str:
        return f"item {id}"

    @server.prompt()
    def greet(name: str) -> str:
        return f"Greet {name}"

    @server.completion()
    async def complete(ref: Any, argument: Any, context: Any) -> types.Completion:
        return types.Completion(values=[f"{argument.value}!"])

    @server.custom_route("/extra", methods=["GET"])
    async def extra(request: Any) -> PlainTextResponse:
        return PlainTextResponse("extra")

    return server


def build_lowlevel() -> Server:
    """Return a lowlevel server with two tools."""
    server: Server = Server("served-lowlevel", version="3.1")

    @server.list_tools()
    async def tools() -> list[types.Tool]:
        schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
        return [types.Tool(name=name, inputSchema=schema) for name in ("echo", "ask")]

    @server.call_tool()
    async def call(name: str, arguments: dict[str, Any]) -> list[types.TextContent]:
        text = arguments["text"]
        if name == "ask":
            context = server.request_context
            form = {"type": "object", "properties": {"name": {"type": "string"}}}
            answer = await context.session.elicit_form(text, form, related_request_id=context.request_id)
            text = str((answer.content or {}).get("name"))
        return [types.TextContent(type="text", text=text)]

    return server


class _Verifier:
    async def verify_token(self, token: str) -> AccessToken | None:
        return None


class _Store(EventStore):
    async def store_event(self, stream_id: str, message: Any) -> str:
        return "0"

    async def replay_events_after(self, last_event_id: str, send_callback: Any) -> str | None:
        return None


def unserved() -> dict[str, Any]:
    """Return servers that bring what portside does not run."""
    urls: Any = {"issuer_url": "https://issuer.example", "resource_server_url": "https://server.example"}
    settings = AuthSettings(**urls, validate_token_resource=True)
    tasks = FastMCP("tasks")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        tasks._mcp_server.experimental.enable_tasks()
    return {
        "auth": FastMCP("auth", auth=settings, token_verifier=_Verifier()),
        "events": FastMCP("events", event_store=_Store()),
        "tasks": tasks,
    }
