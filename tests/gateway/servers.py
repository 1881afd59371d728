"""The server the gateway tests talk to: tools that wait, tell, ask and fail."""

import asyncio
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult
from pydantic import BaseModel


class Name(BaseModel):
    name: str


class Gate:
    """Lets a test hold a tool and see what became of it."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.opened = asyncio.Event()
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def wait(self) -> None:
        self.entered.set()
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.outcome.set_result("cancelled")
            raise
        self.outcome.set_result("finished")


def build(gate: Gate | None = None) -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer("tested")
    held = gate

    @server.tool()
    async def echo(text: str) -> str:
        return text

    @server.tool()
    async def hold() -> str:
        assert held is not None
        await held.wait()
        return "held"

    @server.tool()
    async def hold_aloud(ctx: Context[Any, Any]) -> str:
        assert held is not None
        await ctx.report_progress(1, 3, "before")
        await held.wait()
        await ctx.report_progress(2, 3, "after")
        return "held"

    @server.tool()
    async def count(to: int, ctx: Context[Any, Any]) -> str:
        for step in range(to):
            await ctx.report_progress(step + 1, to)
        return f"counted {to}"

    @server.tool()
    async def part(ctx: Context[Any, Any]) -> str:
        assert held is not None
        await ctx.report_progress(1, 3)
        await ctx.close_sse_stream()
        await held.wait()
        await ctx.report_progress(2, 3)
        return "whole"

    @server.tool()
    async def greet(ctx: Context[Any, Any]) -> str:
        first = await ctx.elicit("first name?", Name)
        await ctx.report_progress(1, 2)
        last = await ctx.elicit("last name?", Name)
        names = [one.data.name if one.action == "accept" else one.action for one in (first, last)]
        return f"hello {' '.join(names)}"

    @server.tool()
    async def ask_both(ctx: Context[Any, Any]) -> str:
        answers = await asyncio.gather(ctx.elicit("a?", Name), ctx.elicit("b?", Name))
        return " ".join(one.data.name if one.action == "accept" else one.action for one in answers)

    @server.tool()
    async def modern_greet(ctx: Context[Any, Any]) -> str | InputRequiredResult:
        answer: Any = (ctx.input_responses or {}).get("who")
        if answer is None:
            schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
            asked = ElicitRequest(params=ElicitRequestFormParams(message="who?", requested_schema=schema))
            return InputRequiredResult(input_requests={"who": asked}, request_state="round one")
        name: object = answer.content["name"] if answer.content else None
        return f"{ctx.request_state}: {answer.action} {name}"

    @server.tool()
    async def insatiable() -> InputRequiredResult:
        schema: dict[str, Any] = {"type": "object", "properties": {}}
        asked = ElicitRequest(params=ElicitRequestFormParams(message="more?", requested_schema=schema))
        return InputRequiredResult(input_requests={"k": asked})

    @server.tool()
    async def announce(ctx: Context[Any, Any]) -> str:
        await ctx.session.send_tool_list_changed()
        await ctx.notify_tools_changed()
        return "announced"

    @server.tool()
    async def big(size: int) -> str:
        return "x" * size

    return server
