"""What only fastmcp 3 is put through: its middleware, its session state, what it hides and runs beside its calls."""
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportCallIssue=false
# The checker's environment has fastmcp 4 and SDK v2, whose names and signatures differ.

from dataclasses import replace
from typing import Any

from portside.hosting.base import Call
from portside.hosting.eras import both_eras
from portside.hosting.python.fastmcp_v3 import FastmcpV3Host
from portside.wire import message as messages
from tests.families.driving import CALL, Drive, Heard, Session, failure
from tests.families.served_fastmcp3 import SEEN, build
from tests.families.streams import both


async def middleware(drive: Drive) -> Any:
    """What fastmcp's middleware sees of a handshake."""
    SEEN.clear()
    await drive.session()
    return list(SEEN)


async def particulars(drive: Drive) -> Any:
    """What only fastmcp has: a transport by name, mounted servers, state of a session."""
    one, other = await drive.session(), await drive.session()
    return {
        "transport": await one.tool("transport"),
        "child": await one.tool("child_hello"),
        "first": await one.tool("remember", text="mine"),
        "other": await other.tool("remember", text="theirs"),
        "again": await one.tool("remember", text="x"),
    }


async def strangers(drive: Drive) -> Any:
    """Who names another's session in a header neither gets its state nor becomes it."""
    one, other = await drive.session(), await drive.session()

    def calling_as(session: Session) -> Call:
        return replace(CALL, headers=((b"mcp-session-id", session.id.encode()),))

    await one.tool("remember", call=calling_as(one), text="mine")
    return {
        "own": await one.tool("remember", call=calling_as(one), text="mine"),
        "stranger": await other.tool("remember", call=calling_as(one), text="theirs"),
        "after": await one.tool("remember", call=calling_as(one), text="x"),
    }


async def hiding(drive: Drive) -> Any:
    """A tool hidden in one session is gone there, announced there, and everybody else still has it."""
    one, other = await drive.session(), await drive.session()
    heard = Heard()
    await one.tool("hide", heard, tool="echo")

    async def has_it(session: Session) -> bool:
        return "echo" in [tool["name"] for tool in (await session.ask("tools/list"))["result"]["tools"]]

    return {
        "own": await has_it(one),
        "other": await has_it(other),
        "connection": [told["method"] for told in one.connection.told],
        "others_connection": other.connection.told,
        "own_call": await one.tool("echo", text="?"),
        "other_call": await other.tool("echo", text="still"),
    }


async def translated(drive: Drive) -> Any:
    """What one modern caller leaves in its session, the next one, whoever it is, must not find."""
    link = await both_eras(drive.host).open(None, Heard())
    client = {"name": "driver", "version": "1"}

    async def tool(name: str, principal: str | None, **arguments: Any) -> Any:
        call = Call("modern", "2026-07-28", capabilities={}, client_info=client, principal=principal)
        asked = messages.request(1, "tools/call", {"name": name, "arguments": arguments})
        return (await link.request(asked, Heard(), call)).result

    await tool("remember", None, text="secret")
    await tool("hide", None, tool="echo")
    found = {
        "anonymous": await tool("remember", None, text="x"),
        "ann": await tool("remember", "ann", text="x"),
        "echo": await tool("echo", None, text="still"),
    }
    await link.close()
    return found


async def background(drive: Drive) -> Any:
    """A task beside a session's calls ends with the session."""
    SEEN.clear()
    session = await drive.session()
    await session.tool("watch")
    before = list(SEEN)
    await session.link.close()
    await session.link.close()
    return {"before": before[1:], "after": SEEN[1:]}


async def on_loop(drive: Drive) -> Any:
    """Why sync tools of fastmcp cannot be moved to the loop from outside."""
    return await failure(FastmcpV3Host(build(), sync_tools="loop").start())


SCENARIOS = (middleware, particulars, strangers, hiding, translated, background, on_loop, both)
