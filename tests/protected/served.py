"""The server behind the protection: tools that repeat, wait, ask, fail and look at what reaches them."""

import asyncio
import os
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import PlainTextResponse

server: MCPServer[Any] = MCPServer("protected", version="1")


class Word(BaseModel):
    word: str


@server.tool()
async def echo(text: str) -> str:
    return text


@server.tool()
async def remove(text: str) -> str:
    return f"removed {text}"


runs: list[str] = []


@server.tool()
async def run_counted(text: str = "") -> str:
    """Say how often this has run."""
    runs.append(text)
    return str(len(runs))


@server.tool()
async def admin_stop(text: str = "") -> str:
    return f"stopped {text}"


@server.tool()
async def steps(text: str, count: int, ctx: Context[Any, Any]) -> str:
    """Report progress `count` times, then repeat the text."""
    for number in range(count):
        await ctx.report_progress(number, count, text)
    return text


@server.tool()
async def wait(seconds: float, text: str = "waited") -> str:
    await asyncio.sleep(seconds)
    return text


@server.tool()
async def ask(text: str, ctx: Context[Any, Any]) -> str:
    """Ask the user for a word, and repeat it with the text."""
    answer = await ctx.elicit(f"a word for {text}?", Word)
    return f"{text} {answer.data.word}" if answer.action == "accept" else f"{text} {answer.action}"


@server.tool()
async def announce(text: str, ctx: Context[Any, Any]) -> str:
    """Say on the connection's own stream, outside the call, that a note has changed."""
    await ctx.session.send_resource_updated(f"note://of/{text}")
    return text


@server.tool()
async def fail(text: str) -> str:
    raise ToolError(f"failed with {text}")


@server.tool()
async def crash(text: str) -> str:
    raise RuntimeError(f"crashed with {text}")


@server.tool()
async def environment() -> str:
    """Everything the hosted code finds in its environment."""
    return "\n".join(f"{name}={value}" for name, value in os.environ.items())


@server.resource("note://public")
def public_note() -> str:
    return "public"


@server.resource("note://private")
def private_note() -> str:
    return "private"


@server.resource("note://of/{name}")
def note_of(name: str) -> str:
    return f"note of {name}"


@server.prompt()
def open_prompt() -> str:
    return "open"


@server.prompt()
def closed_prompt() -> str:
    return "closed"


@server.custom_route("/own/{name}", methods=["GET", "POST"])
async def own(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"hello {request.path_params['name']}")


@server.custom_route("/boom", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def boom(_: Request) -> PlainTextResponse:
    raise ValueError("on purpose")


if __name__ == "__main__":
    server.run()
