"""Arguments are checked before a server sees them: every kind of server, both eras, within bounds (issue 4, row B5)."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import mcp_types as types
import pytest
from fastmcp import FastMCP
from mcp.server import Server, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from pydantic import AfterValidator, BaseModel

from portside.clock import ManualClock
from portside.hosting import build, reports, target, validated
from portside.hosting.base import Call, Host, Link
from portside.hosting.eras import both_eras
from portside.hosting.python import v2_arguments
from portside.hosting.python.fastmcp_v4 import FastmcpHost
from portside.hosting.python.v2 import PythonV2Host
from portside.hosting.translated.listed import SILENT
from portside.hosting.validated import RENEW_S, Strictness, Validated
from portside.settings.model import Settings
from portside.wire import message, strict
from portside.wire.message import Message
from portside.wire.session import SessionRecord
from tests.translation.hosts import NewServer, OldServer

pytestmark = pytest.mark.anyio
eras = pytest.mark.parametrize("era", ["modern", "legacy"])

FASTMCP: FastMCP[Any] = FastMCP("named")
META: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"count": {"type": "integer"}, "items": {"type": "array"}},
    "required": ["count"],
}


class Sent:
    """A client of one link."""

    def __init__(self, link: Link, call: Call) -> None:
        self.link = link
        self.context = call

    async def request(self, method: str, params: dict[str, Any]) -> Message:
        """Send a request as it comes from the wire."""
        meta = {"_meta": META} if self.context.era == "modern" else {}
        asked = message.parse(message.request(7, method, params | meta).encode())
        assert isinstance(asked, Message)
        return await self.link.request(asked, SILENT, self.context)

    async def call(self, name: str, arguments: object, **more: Any) -> dict[str, Any]:
        """Call a tool and return its result."""
        reply = await self.request("tools/call", {"name": name, "arguments": arguments, **more})
        assert reply.result is not None, reply.error
        return reply.result

    async def text(self, name: str, arguments: object) -> str:
        return (await self.call(name, arguments))["content"][0]["text"]


@asynccontextmanager
async def opened(host: Host, era: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> AsyncGenerator[Sent]:
    """Start a host and open a link; a legacy one has shaken hands."""
    await host.start()
    link: Link | None = None
    try:
        if era == "modern":
            link = await host.open(None, SILENT)
            yield Sent(link, Call("modern", "2026-07-28", headers, {}))
            return
        link = await host.open(SessionRecord("s", "2025-11-25", {}, None, 0.0), SILENT)
        client = Sent(link, Call("legacy", "2025-11-25"))
        await client.request("initialize", HELLO)
        await link.notify(message.notification("notifications/initialized"), client.context)
        yield client
    finally:
        if link is not None:
            await link.close()
        await host.close()


class LowLevel:
    """A low-level server that counts what reaches it; its tool `count` takes an integer."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any] | None] = []
        self.listed = 0
        self.schemas: dict[str, dict[str, Any]] = {"count": SCHEMA}
        self.fails = False
        self.server: Server[Any] = Server("low", on_list_tools=self._list, on_call_tool=self._call)

    def host(self, strictness: Strictness = "exact", clock: ManualClock | None = None) -> Host:
        return Validated(PythonV2Host(self.server), strictness=strictness, clock=clock or ManualClock())

    async def _list(
        self, ctx: ServerRequestContext[Any, Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        self.listed += 1
        if self.fails:
            raise RuntimeError("no list")
        tools = [types.Tool(name=name, input_schema=schema) for name, schema in self.schemas.items()]
        return types.ListToolsResult(tools=tools)

    async def _call(
        self, ctx: ServerRequestContext[Any, Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        self.seen.append(params.arguments)
        return types.CallToolResult(content=[types.TextContent(type="text", text="called")])


# -- servers that are checked by their own list -------------------------------------------------


@eras
async def test_wrong_arguments_are_a_tool_error_that_says_what_was_expected(era: str) -> None:
    """MCP 2025-11-25 and 2026-07-28, Tools, Error Handling."""
    low = LowLevel()
    async with opened(low.host(), era) as client:
        result = await client.call("count", {"count": "x", "items": 5})
        assert await client.text("count", {"count": 5}) == "called"
    assert result["isError"] is True
    assert result["content"] == [
        {
            "type": "text",
            "text": "Invalid arguments for tool 'count':\n- /count: expected integer, got \"x\"\n"
            "- /items: expected array, got 5",
        }
    ]
    assert result.get("resultType") == ("complete" if era == "modern" else None)
    assert low.seen == [{"count": 5}]


@eras
async def test_arguments_left_out_are_checked_as_none(era: str) -> None:
    low = LowLevel()
    async with opened(low.host(), era) as client:
        reply = await client.request("tools/call", {"name": "count"})
    assert reply.result is not None
    assert "is missing" in reply.result["content"][0]["text"]
    assert low.seen == []


@eras
async def test_malformed_params_are_the_servers_to_refuse(era: str) -> None:
    async with opened(LowLevel().host(), era) as client:
        for params in ({"name": 5}, {"name": "count", "arguments": [1]}, {}):
            reply = await client.request("tools/call", params)
            assert reply.error is not None
            assert reply.error["code"] == -32602


@eras
async def test_a_tool_not_listed_is_called_unchecked(era: str) -> None:
    low = LowLevel()
    async with opened(low.host(), era) as client:
        assert await client.text("hidden", {"count": "x"}) == "called"


@eras
async def test_a_server_that_does_not_list_is_called_unchecked_and_asked_again_later(era: str) -> None:
    low, clock = LowLevel(), ManualClock()
    low.fails = True
    async with opened(low.host(clock=clock), era) as client:
        assert await client.text("count", {"count": "x"}) == "called"
        low.fails = False
        clock.advance(RENEW_S)
        assert "Invalid arguments" in await client.text("count", {"count": "x"})


@eras
async def test_a_schema_that_cannot_be_checked_by_is_said_once(era: str, caplog: pytest.LogCaptureFixture) -> None:
    low = LowLevel()
    low.schemas = {"count": {"type": "object", "properties": {"a": {"$ref": "https://example.com/a"}}}}
    async with opened(low.host(), era) as client:
        for _ in range(3):
            assert await client.text("count", {"a": 1}) == "called"
    said = [one.getMessage() for one in caplog.records if "not checked" in one.getMessage()]
    assert said == [
        "arguments of 'count' are not checked against its schema: it refers to 'https://example.com/a', outside itself"
    ]


@eras
async def test_the_list_is_asked_for_once(era: str) -> None:
    low = LowLevel()
    async with opened(low.host(), era) as client:
        await client.call("count", {"count": 1})
        asked = low.listed
        for _ in range(5):
            await client.call("count", {"count": 1})
    assert low.listed - asked <= 5 * (era == "modern")  # the SDK's own check of mirrored headers lists as well


@eras
async def test_nobody_is_refused_by_an_outdated_schema(era: str) -> None:
    low, clock = LowLevel(), ManualClock()
    async with opened(low.host(clock=clock), era) as client:
        assert "Invalid" in await client.text("count", {"count": "x"})
        low.schemas = {"count": {"type": "object"}}
        clock.advance(RENEW_S)
        assert await client.text("count", {"count": "x"}) == "called"


async def test_mirrored_headers_that_contradict_go_before_arguments_that_do_not_fit() -> None:
    low = LowLevel()
    mirrored = {"count": {"type": "integer", "x-mcp-header": "Count"}, "items": {"type": "array"}}
    low.schemas = {"count": {"type": "object", "properties": mirrored}}
    async with opened(low.host(), "modern", ((b"mcp-param-count", b"6"),)) as client:
        reply = await client.request("tools/call", {"name": "count", "arguments": {"count": 5, "items": 1}})
    assert reply.error is not None
    assert reply.error["code"] == -32020


@pytest.mark.parametrize(("strictness", "said"), [("exact", "Invalid"), ("texts", "called"), ("bulky", "called")])
async def test_json_in_a_text_counts_unless_arguments_must_fit_exactly(strictness: Strictness, said: str) -> None:
    low = LowLevel()
    async with opened(low.host(strictness), "modern") as client:
        assert (await client.text("count", {"count": "5", "items": "[1]"})).startswith(said)
        assert (await client.text("count", {"count": "x"})).startswith("called" if strictness == "bulky" else "Invalid")


async def test_bulky_arguments_are_checked_also_where_the_server_checks_by_itself() -> None:
    low = LowLevel()
    async with opened(low.host("bulky"), "modern") as client:
        text = await client.text("count", {"count": ["x"] * 10_000})
    assert text == "Invalid arguments for tool 'count':\n- /count: expected integer, got an array of 10000 items"
    assert low.seen == []


# -- servers of one era, behind the translation -------------------------------------------------


async def _tools(*_: Any) -> dict[str, Any]:
    return {"tools": [{"name": "count", "inputSchema": SCHEMA}]}


async def _called(*_: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": "called"}]}


@eras
@pytest.mark.parametrize("kind", ["old", "new"])
async def test_servers_of_one_era_are_checked_for_clients_of_both(era: str, kind: str) -> None:
    host: Host
    if kind == "old":
        host = OldServer(None, tools__list=_tools, tools__call=_called)
    else:
        host = NewServer()
        host.handlers |= {"tools/list": _tools, "tools/call": _called}
    async with opened(Validated(both_eras(host)), era) as client:
        assert "expected integer" in await client.text("count", {"count": "x"})
        assert await client.text("count", {"count": 5}) == "called"


async def test_a_session_is_checked_by_what_its_own_link_lists_and_hears_of_changes() -> None:
    schemas = [SCHEMA, {"type": "object"}]

    async def tools(*_: Any) -> dict[str, Any]:
        return {"tools": [{"name": "count", "inputSchema": schemas[0]}]}

    old = OldServer(None, tools__list=tools, tools__call=_called)
    async with opened(Validated(both_eras(old), clock=ManualClock()), "legacy") as client:
        assert "expected integer" in await client.text("count", {"count": "x"})
        assert len(old.links) == 1
        schemas.pop(0)
        await old.links[0].back.notify(message.notification("notifications/tools/list_changed"))
        assert await client.text("count", {"count": "x"}) == "called"
        assert len(old.links[0].params("tools/list")) == 2


# -- servers whose tools read their arguments by their own models -------------------------------


class Point(BaseModel):
    x: int


def mcpserver() -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer("bulky")

    @server.tool()
    def numbers(values: list[int]) -> str:
        return f"{len(values)} {type(values[0]).__name__}"

    @server.tool()
    def either(values: list[int] | list[Point] | None) -> str:
        return f"{len(values or [])}"

    @server.tool()
    def named(values: dict[str, int]) -> str:
        return f"{len(values)}"

    @server.tool()
    async def aloud(values: list[Point], ctx: Context[Any, Any]) -> str:
        return f"{len(values)} {ctx.request_id}"

    return server


MAKE: dict[str, Callable[[], PythonV2Host]] = {
    "compiled": lambda: PythonV2Host(mcpserver(), dispatch="compiled"),
    "tool": lambda: PythonV2Host(mcpserver(), dispatch="tool"),
    "kernel": lambda: PythonV2Host(mcpserver(), dispatch="kernel"),
}
BULKY: list[tuple[str, object]] = [
    ("numbers", ["x"] * 10_000),
    ("numbers", ["x"] * 100_000),
    ("numbers", [1] * 9_999 + ["x"]),
    ("either", ["x"] * 10_000),
    ("named", {f"k{index}": "x" for index in range(10_000)}),
    ("aloud", [{"x": "y"}] * 10_000),
    ("aloud", ["x"] * 100_000),
]


@eras
@pytest.mark.parametrize(("name", "values"), BULKY)
async def test_bulky_wrong_arguments_get_the_same_short_answer_on_every_path(
    era: str, name: str, values: object
) -> None:
    texts: set[str] = set()
    for make in MAKE.values():
        async with opened(make(), era) as client:
            result = await client.call(name, {"values": values})
            assert result["isError"] is True
            texts.add(result["content"][0]["text"])
    (text,) = texts
    assert text.startswith(f"Error executing tool {name}: ")
    assert len(text.encode()) <= 4096


@eras
@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
@pytest.mark.parametrize("count", [3, 5_000, 100_000])
async def test_what_the_sdk_takes_leniently_is_taken_whatever_its_size(
    era: str, make: Callable[[], PythonV2Host], count: int
) -> None:
    async with opened(make(), era) as client:
        assert await client.text("numbers", {"values": ["3"] * count}) == f"{count} int"
        assert await client.text("numbers", {"values": str(["3"] * count).replace("'", '"')}) == f"{count} int"
        assert await client.text("aloud", {"values": [{"x": "3"}] * count}) == f"{count} 7"


@eras
@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
async def test_a_report_below_bulky_is_cut_to_ten_problems(era: str, make: Callable[[], PythonV2Host]) -> None:
    async with opened(make(), era) as client:
        text = await client.text("numbers", {"values": ["x"] * 1_000})
        few = await client.text("numbers", {"values": ["x"] * 10})
    assert text.count("Input should be a valid integer") == 10
    assert text.startswith("Error executing tool numbers: 1000 validation errors for numbersArguments\nvalues.0\n")
    assert text.endswith("\n(only the first 10 are told)")
    assert len(text.encode()) <= 4096
    assert few.count("Input should be a valid integer") == 10
    assert not few.endswith("told)")


async def test_a_validator_of_the_users_own_is_asked_and_its_words_reach_the_client() -> None:
    server: MCPServer[Any] = MCPServer("own")
    asked: list[int] = []

    def check(value: int) -> int:
        asked.append(value)
        if value % 2 == 0:
            raise ValueError("must be odd")
        return value

    async def sizes(values: Annotated[list[Annotated[int, AfterValidator(check)]], "sizes"]) -> str:
        return f"{sum(values)}"

    server.add_tool(sizes)
    async with opened(PythonV2Host(server), "modern") as client:
        assert await client.text("sizes", {"values": [1] * 10_000}) == "10000"
        asked.clear()
        assert "must be odd" in await client.text("sizes", {"values": [2] * 10_000})
    assert asked == [2]  # it ends with the first


async def test_fastmcp_keeps_its_leniency_and_its_reports_are_cut() -> None:
    server: FastMCP[Any] = FastMCP("f")

    def numbers(values: list[int]) -> str:
        return f"{len(values)} {type(values[0]).__name__}"

    server.tool(numbers)
    async with opened(Validated(FastmcpHost(server), strictness="bulky"), "modern") as client:
        assert await client.text("numbers", {"values": ["3"]}) == "1 int"
        short = await client.text("numbers", {"values": ["x"] * 1_000})
        bulky = await client.text("numbers", {"values": ["x"] * 100_000})
    assert len(short.encode()) <= 4096
    assert bulky.count("\n") == 10
    assert bulky.startswith("Invalid arguments for tool 'numbers':\n- /values/0: expected integer")


# -- which servers are checked how --------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "strictness"),
    [
        ("tests/journeys/targets/bulky.py", None),
        ("tests/journeys/targets/bulky_lowlevel.py", "exact"),
        ("tests.hosting.test_validated:FASTMCP", "bulky"),
        ("stdio: cat", "texts"),
        ("http://127.0.0.1:1/mcp", "texts"),
    ],
)
def test_each_kind_of_server_is_checked_as_it_needs(name: str, strictness: str | None) -> None:
    for is_on in (True, False):
        settings = Settings().model_copy(update={"validate_arguments": is_on})
        host = build.host_for(target.parse(name), settings, {})
        found = host._check.strictness if isinstance(host, Validated) else None  # pyright: ignore[reportPrivateUsage]
        assert found == (strictness if is_on else None)


@pytest.mark.parametrize("text", ["", "on purpose", "5 validation errors", "x" * 10_000, "a\nb\n" * 5_000])
def test_a_text_that_is_no_report_is_left_alone(text: str) -> None:
    result: dict[str, Any] = {"isError": True, "content": [{"type": "text", "text": text}, {"type": "image"}]}
    reports.cut_error(result)
    assert result["content"][0]["text"] == text


def test_a_long_report_of_few_problems_is_cut_in_bytes() -> None:
    text = reports.cut("1 validation error for X\nv\n  " + "ü" * 5_000)
    assert len(text.encode()) <= reports.MAX_TEXT_BYTES
    assert text.endswith("ü…")


def test_the_thresholds_rise_from_bulky_to_large() -> None:
    assert v2_arguments.BULKY_BYTES == validated.BULKY_BYTES < strict.LARGE
