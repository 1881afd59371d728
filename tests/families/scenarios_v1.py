"""What only SDK v1 is put through: its lowlevel server, its tools on the loop, its settings."""
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportCallIssue=false
# The checker's environment has SDK v2, which lacks these modules.

from typing import Any

from mcp.server.fastmcp import FastMCP

from portside.hosting.python.v1 import PythonV1Host
from tests.families.driving import NAMED, Drive, Heard
from tests.families.scenarios import tools
from tests.families.served_v1 import EVENTS, build, build_lowlevel
from tests.families.streams import both


async def growing(drive: Drive) -> Any:
    """A tool that is added while the server runs is called like the others."""
    session = await drive.session()
    await session.tool("grow")
    return await session.tool("grown")


async def on_loop(drive: Drive) -> Any:
    """The same tools where the user's code is bound to the loop's thread."""
    return await tools(Drive(drive.family, await _started(build(), sync_tools="loop")))


async def lowlevel(drive: Drive) -> Any:
    """A server without FastMCP: called, asked back from, asked for what it has not."""
    host = await _started(build_lowlevel())
    session = await Drive(drive.family, host).session()
    return {
        "family": host.description.family,
        "echo": await session.tool("echo", text="low"),
        "ask": await session.tool("ask", Heard({"elicitation/create": NAMED}), text="Who?"),
        "invalid": await session.tool("echo"),
        "prompts": await session.ask("prompts/list"),
        "routes": list(host.routes),
        "paths": host.description.paths,
    }


async def notices(drive: Drive) -> Any:
    """What is said of settings that portside decides itself."""
    return PythonV1Host(FastMCP("particular", stateless_http=True, port=9999)).description.notices


async def _started(server: Any, **options: Any) -> PythonV1Host:
    before = list(EVENTS)
    served = PythonV1Host(server, **options)
    await served.start()
    await served.close()  # nothing of these servers lives in the lifespan
    EVENTS[:] = before
    return served


SCENARIOS = (growing, on_loop, both, lowlevel, notices)
