"""What every adapter is put through; each returns what came of it, as JSON values."""

import asyncio
from dataclasses import replace
from typing import Any, Final

from portside.wire import message as messages
from portside.wire.message import Id, Message
from tests.families.driving import CALL, CLIENT, NAMED, Drive, Heard, Scenario, Session, failure


async def handshake(drive: Drive) -> Any:
    """What is answered before and by the handshake."""
    session = await drive.raw()
    return {
        "ping": await session.ask("ping"),
        "early": await session.ask("tools/list"),
        "initialize": await session.ask("initialize", CLIENT),
        "after": "result" in await session.ask("tools/list"),
        "unknown": await session.ask("server/discover"),
        "malformed": await session.ask("tools/call", {"name": 1}),
    }


async def revisions(drive: Drive) -> Any:
    """The revision each request for one is answered with."""
    asked = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "1999-01-01", "2026-07-28")
    answers = [await (await drive.raw()).ask("initialize", {**CLIENT, "protocolVersion": one}) for one in asked]
    return {one: answer["result"]["protocolVersion"] for one, answer in zip(asked, answers, strict=True)}


async def tools(drive: Drive) -> Any:
    """The list of tools, and tools of every kind called."""
    session = await drive.session()
    listed = (await session.ask("tools/list"))["result"]["tools"]
    return {
        "names": [tool["name"] for tool in listed],
        "add": await session.tool("add", a=1, b=2),
        "echo": await session.tool("echo", text="é"),
        "point": await session.tool("point", x=3),
        "fail": await session.tool("fail"),
        "stop": await session.tool("stop"),
        "wrong": await session.tool("add", a="x", b=2),
        "where": await session.tool("where"),
    }


async def speech(drive: Drive) -> Any:
    """What a request says goes to its sender, what concerns everybody to the connection."""
    session, back = await drive.session(), Heard()
    await session.tool("report", back, id=5)
    announcing = Heard()
    await session.tool("announce", announcing)
    return {"told": back.told, "announcing": announcing.told, "connection": session.connection.told}


async def questions(drive: Drive) -> Any:
    """What a tool asks reaches the sender of its request, and the answer reaches the tool."""
    session = await drive.session()
    found = {"content": {"type": "text", "text": "Paris"}, "role": "assistant", "model": "m"}
    back = Heard(
        {
            "elicitation/create": NAMED,
            "sampling/createMessage": found,
            "roots/list": {"roots": [{"uri": "file:///a"}]},
        }
    )
    return {
        "ask": await session.tool("ask", back, question="Who?"),
        "sample": await session.tool("sample", back),
        "roots": await session.tool("roots", back),
        "asked": back.asked,
        "declined": await session.tool("ask", Heard({"elicitation/create": {"action": "decline"}}), question="Who?"),
        "refused": await session.tool(
            "ask", Heard({"elicitation/create": {"code": -1, "message": "no"}}), question="?"
        ),
        "unheard": await session.tool("ask", question="Who?"),
    }


async def waiting(drive: Drive) -> Any:
    """A tool hears the progress of its own question, and stops waiting when it said it would."""
    session = await drive.session()

    async def slowly(question: Message) -> dict[str, Any]:
        token = (question.params or {})["_meta"]["progressToken"]
        params = {"progressToken": token, "progress": 1, "total": 2, "message": "soon"}
        await session.link.notify(messages.notification("notifications/progress", params), CALL)
        return {"roots": []}

    async def never(question: Message) -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError(question)

    return {
        "heard": await session.tool("patient", Heard({"roots/list": slowly})),
        "gave_up": await session.tool("impatient", Heard({"roots/list": never})),
    }


async def cancelling(drive: Drive) -> Any:
    """Cancelling a request ends its handler; the session goes on."""
    session, back = await drive.session(), Heard()
    task = asyncio.create_task(session.tool("hang", back))
    await back.something.wait()
    task.cancel()
    ended = (await asyncio.gather(task, return_exceptions=True))[0]
    return {
        "ended": type(ended).__name__,
        "events": [event for event in drive.family.EVENTS if event == "cancelled"],
        "after": await session.tool("echo", text="still here"),
    }


async def crossing(drive: Drive) -> Any:
    """Questions of calls that run at once, under ids that look alike, are each answered by their own sender."""
    one, other = await drive.session(), await drive.session()
    together = asyncio.Barrier(4)

    def named(name: str) -> Heard:
        async def answer(_: Message) -> dict[str, Any]:
            await together.wait()
            return {"action": "accept", "content": {"name": name}}

        return Heard({"elicitation/create": answer})

    callers: list[tuple[Session, Id, str]] = [(one, 1, "a"), (one, "1", "b"), (other, 1, "c"), (other, "1", "d")]
    results = await asyncio.gather(
        *(session.tool("ask", named(name), id=id, question="Who?") for session, id, name in callers)
    )
    return [result["content"][0]["text"] for result in results]


async def leftovers(drive: Drive) -> Any:
    """What a finished request left running speaks on the connection."""
    session, back = await drive.session(), Heard()
    await session.tool("later", back)
    drive.family.GO.set()
    await session.connection.something.wait()
    return {"told": back.told, "connection": session.connection.told}


async def reading(drive: Drive) -> Any:
    """Resources, templates, prompts and completion."""
    session = await drive.session()
    reference = {"type": "ref/prompt", "name": "greet"}
    completion = {"ref": reference, "argument": {"name": "name", "value": "A"}}
    return {
        "resources": [one["uri"] for one in (await session.ask("resources/list"))["result"]["resources"]],
        "templates": (await session.ask("resources/templates/list"))["result"]["resourceTemplates"][0]["uriTemplate"],
        "text": (await session.ask("resources/read", {"uri": "test://text"}))["result"]["contents"][0]["text"],
        "item": (await session.ask("resources/read", {"uri": "test://item/7"}))["result"]["contents"][0]["text"],
        "prompts": [one["name"] for one in (await session.ask("prompts/list"))["result"]["prompts"]],
        "prompt": await session.ask("prompts/get", {"name": "greet", "arguments": {"name": "Ann"}}),
        "completion": await session.ask("completion/complete", completion),
    }


async def context(drive: Drive) -> Any:
    """What user code finds of the HTTP request, the caller, the client and the lifespan."""
    session = await drive.session()
    mine = ((b"authorization", b"Bearer t"), (b"mcp-session-id", session.id.encode()))
    known = replace(CALL, principal="ann", headers=(*mine, *CALL.headers))
    return {
        "id": session.id,
        "known": (await session.tool("context", call=known))["structuredContent"],
        "sync": (await session.tool("context_of_sync_tool", call=known))["structuredContent"],
        "unknown": (await session.tool("context"))["structuredContent"],
    }


async def description(drive: Drive) -> Any:
    """What the host says of itself."""
    found = drive.host.description
    return {
        "name": found.name,
        "family": found.family,
        "version": found.version,
        "eras": list(found.eras),
        "paths": found.paths,
        "notices": list(found.notices),
        "routes": [route.path for route in drive.host.routes],
        "stateless": await failure(drive.host.open(None, Heard())),
    }


async def unserved(drive: Drive) -> Any:
    """Servers that bring what would be dropped in silence do not start."""
    family = drive.family
    return {name: await failure(family.host(server).start()) for name, server in family.unserved().items()}


SCENARIOS: Final[tuple[Scenario, ...]] = (
    handshake,
    revisions,
    tools,
    speech,
    questions,
    waiting,
    cancelling,
    crossing,
    leftovers,
    reading,
    context,
    description,
    unserved,
)
"""What every family is put through; each family's module adds its own."""
