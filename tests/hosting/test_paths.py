"""A `tools/call` is answered alike on every path: compiled, the SDK's tool object, the SDK's kernel (ours)."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, TypedDict

import msgspec
import pytest
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, ElicitRequest, ElicitRequestFormParams, InputRequiredResult, TextContent
from pydantic import BaseModel, Field

from portside.errors import StartFailed
from portside.hosting.base import Back, Call, Link
from portside.hosting.python.v2 import Dispatch, PythonV2Host
from portside.wire import message
from portside.wire.message import Message
from portside.wire.session import SessionRecord

pytestmark = pytest.mark.anyio


class Colour(Enum):
    RED = "red"


class Point(BaseModel):
    x: int
    y: float = 0.5


class Row(TypedDict):
    name: str
    size: int


@dataclass
class Box:
    width: int


def build() -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer("paths", version="1.2")

    @server.tool()
    async def text(value: str) -> str:
        return value

    @server.tool()
    def sync_text(value: str) -> str:
        return value

    @server.tool()
    def number(value: int) -> int:
        return value

    @server.tool()
    def truth(value: bool) -> bool:
        return value

    @server.tool()
    def real(value: float) -> float:
        return value

    @server.tool()
    def nothing() -> None:
        return None

    @server.tool()
    def untyped(value: Any) -> Any:
        return value

    @server.tool()
    def items(value: list[int]) -> list[int]:
        return value

    @server.tool()
    def point(value: Point) -> Point:
        return value

    @server.tool()
    def row(name: str) -> Row:
        return {"name": name, "size": 1}

    @server.tool()
    def box(width: int) -> Box:
        return Box(width)

    @server.tool()
    def maybe(value: str | None = None) -> str | None:
        return value

    @server.tool()
    def colour(value: Colour) -> Colour:
        return value

    @server.tool()
    def bounded(value: Annotated[int, Field(ge=0, le=5)]) -> Annotated[int, Field(ge=0)]:
        return value - 1

    @server.tool()
    def aliased(value: Annotated[str, Field(alias="the-value")] = "d") -> str:
        return value

    @server.tool()
    def lying() -> int:
        return "not a number"  # type: ignore[return-value]

    @server.tool()
    def content() -> list[TextContent]:
        return [TextContent(type="text", text="a"), TextContent(type="text", text="b")]

    @server.tool()
    def whole() -> CallToolResult:
        return CallToolResult(content=[TextContent(type="text", text="w")], is_error=True, _meta={"k": 1})

    @server.tool(structured_output=False)
    def plain() -> dict[str, int]:
        return {"a": 1}

    @server.tool()
    def deliberate() -> str:
        raise ToolError("on purpose")

    @server.tool()
    def crash() -> str:
        raise RuntimeError("secret detail")

    @server.tool()
    def protocol_error() -> str:
        raise MCPError(code=-31999, message="told", data={"k": 1})

    @server.tool()
    async def contextual(value: str, ctx: Context[Any, Any]) -> str:
        await ctx.report_progress(1, 2, "half")
        return f"{value} {ctx.request_id} {ctx.headers['x-probe'] if ctx.headers else ''}"

    @server.tool()
    def asking() -> str | InputRequiredResult:
        asked = ElicitRequest(
            params=ElicitRequestFormParams(message="?", requested_schema={"type": "object", "properties": {}})
        )
        return InputRequiredResult(input_requests={"k": asked})

    return server


CALLS: list[tuple[str, dict[str, Any] | None]] = [
    ("text", {"value": "hi"}),
    ("text", {"value": "großes \U0001f600\n"}),
    ("text", {"value": ""}),
    ("text", {"value": 5}),
    ("text", {}),
    ("text", None),
    ("text", {"value": "a", "extra": 1}),
    ("sync_text", {"value": "hi"}),
    ("number", {"value": 3}),
    ("number", {"value": "3"}),
    ("number", {"value": "three"}),
    ("number", {"value": 2**60}),
    ("truth", {"value": True}),
    ("truth", {"value": "false"}),
    ("real", {"value": 1.5}),
    ("real", {"value": 1}),
    ("nothing", {}),
    ("untyped", {"value": {"a": [1]}}),
    ("untyped", {"value": '{"a": 1}'}),
    ("items", {"value": [1, 2]}),
    ("items", {"value": "[1, 2]"}),
    ("items", {"value": ["x", {}]}),
    ("point", {"value": {"x": 1}}),
    ("point", {"value": '{"x": 2}'}),
    ("point", {"value": {}}),
    ("row", {"name": "n"}),
    ("box", {"width": 2}),
    ("maybe", {}),
    ("maybe", {"value": None}),
    ("maybe", {"value": "null"}),
    ("colour", {"value": "red"}),
    ("colour", {"value": "blue"}),
    ("bounded", {"value": 3}),
    ("bounded", {"value": 0}),
    ("bounded", {"value": 9}),
    ("aliased", {"the-value": "v"}),
    ("aliased", {"value": "v"}),
    ("lying", {}),
    ("content", {}),
    ("whole", {}),
    ("plain", {}),
    ("deliberate", {}),
    ("crash", {}),
    ("protocol_error", {}),
    ("contextual", {"value": "v"}),
    ("asking", {}),
    ("unknown", {}),
]

META: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
    "progressToken": "p",
}

MALFORMED: list[dict[str, Any]] = [
    {},
    {"name": 5},
    {"name": "text", "arguments": [1]},
    {"name": "text", "arguments": "x"},
    {"name": "text", "arguments": {"value": "a"}, "_meta": {"progressToken": {}}},
    {"name": "text", "arguments": {"value": "a"}, "unknown": 1},
    {"name": "text", "arguments": {"value": "a"}, "requestState": "forged", "inputResponses": {}},
]


class Heard:
    """A `Back` that remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[Any] = []

    async def notify(self, message: Message) -> None:
        self.notes.append((message.method, message.params))

    async def request(self, message: Message) -> Message:
        raise AssertionError(f"asked {message.method}")


@asynccontextmanager
async def linked(
    dispatch: Dispatch, era: str, server: MCPServer[Any] | None = None
) -> AsyncGenerator[tuple[Link, Call]]:
    host = PythonV2Host(server or build(), dispatch=dispatch)
    await host.start()
    headers = [(b"x-probe", b"seen")]
    try:
        if era == "modern":
            yield await host.open(None, Heard()), Call("modern", "2026-07-28", headers, META)
            return
        record = SessionRecord("s", "2025-11-25", {}, None, 0.0)
        link, call = await host.open(record, Heard()), Call("legacy", "2025-11-25", headers)
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        assert (await link.request(message.request(0, "initialize", hello), Heard(), call)).error is None
        await link.notify(message.notification("notifications/initialized"), call)
        yield link, call
    finally:
        await host.close()


async def answer(link: Link, call: Call, params: dict[str, Any]) -> tuple[Any, list[Any]]:
    heard = Heard()
    back: Back = heard
    reply = await link.request(message.request(7, "tools/call", params), back, call)
    return msgspec.json.decode(reply.encode()), heard.notes


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_every_call_is_answered_alike_on_every_path(era: str) -> None:
    answers: dict[str, list[Any]] = {}
    for dispatch in ("compiled", "tool", "kernel"):
        async with linked(dispatch, era) as (link, call):
            answers[dispatch] = []
            for name, arguments in CALLS:
                params: dict[str, Any] = {"name": name} if arguments is None else {"name": name, "arguments": arguments}
                params |= {"_meta": META} if era == "modern" else {"_meta": {"progressToken": "p"}}
                answers[dispatch].append((name, arguments, await answer(link, call, params)))
    assert answers["compiled"] == answers["kernel"]
    assert answers["tool"] == answers["kernel"]


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_malformed_params_are_refused_alike_on_every_path(era: str) -> None:
    answers: dict[str, list[Any]] = {}
    for dispatch in ("compiled", "tool", "kernel"):
        async with linked(dispatch, era) as (link, call):
            meta: dict[str, Any] = {"_meta": META} if era == "modern" else {}
            answers[dispatch] = [
                await answer(
                    link, call, meta | params | ({"_meta": META | params["_meta"]} if "_meta" in params else {})
                )
                for params in MALFORMED
            ]
    assert answers["compiled"] == answers["kernel"]
    assert answers["tool"] == answers["kernel"]


async def test_plain_tools_are_compiled_and_others_are_not() -> None:
    host = PythonV2Host(build())
    await host.start()
    paths = host.description.paths
    await host.close()
    assert {paths["text"], paths["point"], paths["untyped"]} == {"compiled"}
    assert paths["contextual"] == "tool"


async def test_middleware_keeps_every_call_in_the_kernel() -> None:
    seen: list[str] = []

    async def watch(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        seen.append(ctx.method)
        return await call_next(ctx)

    server = build()
    server.middleware.append(watch)
    async with linked("compiled", "modern", server) as (link, call):
        await answer(link, call, {"name": "text", "arguments": {"value": "a"}, "_meta": META})
    assert seen[-1] == "tools/call"  # SDK 2.2 is asked for its list first


async def test_an_overridden_call_keeps_the_kernel() -> None:
    class Mine(MCPServer[Any]):
        async def call_tool(self, name: str, arguments: dict[str, Any], context: Any = None) -> Any:
            return CallToolResult(content=[TextContent(type="text", text="mine")])

    async with linked("compiled", "modern", Mine("mine")) as (link, call):
        reply, _ = await answer(link, call, {"name": "any", "arguments": {}, "_meta": META})
    assert reply["result"]["content"] == [{"type": "text", "text": "mine"}]


async def test_tools_added_and_removed_while_running_are_seen() -> None:
    server = build()
    async with linked("compiled", "modern", server) as (link, call):
        params: dict[str, Any] = {"name": "late", "arguments": {}, "_meta": META}
        before, _ = await answer(link, call, params)
        server.add_tool(lambda: "now", name="late")
        after, _ = await answer(link, call, params)
        server.remove_tool("late")
        gone, _ = await answer(link, call, params)
    assert before["result"]["isError"] is True
    assert after["result"]["content"][0]["text"] == "now"
    assert gone == before


async def test_a_tool_runs_on_the_loop_when_told_so() -> None:
    import threading

    server: MCPServer[Any] = MCPServer("loop")

    @server.tool()
    def where() -> str:
        return threading.current_thread().name

    names: list[str] = []
    for sync_tools in ("loop", "thread"):
        host = PythonV2Host(server, sync_tools=sync_tools)  # type: ignore[arg-type]
        await host.start()
        link = await host.open(None, Heard())
        reply, _ = await answer(link, Call("modern", "2026-07-28"), {"name": "where", "arguments": {}, "_meta": META})
        names.append(reply["result"]["content"][0]["text"])
        await host.close()
    assert names[0] == threading.main_thread().name


async def test_the_lifespan_is_entered_once_and_left() -> None:
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(_: MCPServer[Any]) -> AsyncGenerator[dict[str, str]]:
        events.append("enter")
        yield {"k": "v"}
        events.append("leave")

    server: MCPServer[Any] = MCPServer("l", lifespan=lifespan)

    @server.tool()
    def state(ctx: Context[Any, Any]) -> str:
        return ctx.request_context.lifespan_context["k"]

    async with linked("compiled", "modern", server) as (link, call):
        replies = [await answer(link, call, {"name": "state", "arguments": {}, "_meta": META}) for _ in range(3)]
    assert [reply["result"]["content"][0]["text"] for reply, _ in replies] == ["v"] * 3
    assert events == ["enter", "leave"]


async def test_a_server_with_its_own_authentication_is_refused_rather_than_opened() -> None:
    from mcp.server.auth.provider import AccessToken
    from mcp.server.auth.settings import AuthSettings
    from pydantic import AnyHttpUrl

    class Verifier:
        async def verify_token(self, token: str) -> AccessToken | None:
            return None

    settings = AuthSettings(
        issuer_url=AnyHttpUrl("https://as.example.com"), resource_server_url=AnyHttpUrl("https://mcp.example.com")
    )
    server: MCPServer[Any] = MCPServer("guarded", auth=settings, token_verifier=Verifier())
    with pytest.raises(StartFailed, match="its own authentication"):
        await PythonV2Host(server).start()
