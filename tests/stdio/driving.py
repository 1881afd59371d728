"""What the tests of stdio children share: specs, hosts that are ended for certain, calls, remembering channels."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

from portside.errors import NoBackChannel
from portside.hosting.base import Back, Call, Link
from portside.hosting.stdio.backoff import Patience
from portside.hosting.stdio.host import StdioHost
from portside.hosting.stdio.options import StdioOptions
from portside.hosting.stdio.spec import ChildSpec, allowed
from portside.wire import message
from portside.wire.message import Message
from portside.wire.session import SessionRecord

SERVERS: Final = Path(__file__).with_name("servers")
MODERN: Final = Call("modern", "2026-07-28")
LEGACY: Final = Call("legacy", "2025-11-25")
OPTIONS: Final = StdioOptions(probe_timeout_s=1.0, patience=Patience(first_s=0.01, max_starts=4))
POLL_S: Final = 0.02


class Remembering:
    """A channel that keeps what it was told, and answers what it is asked with `answer`; without one it refuses."""

    def __init__(self, answer: Callable[[Message], Awaitable[dict[str, Any]]] | None = None) -> None:
        self.told: list[Message] = []
        self.asked: list[Message] = []
        self._answer = answer

    async def notify(self, message: Message) -> None:
        self.told.append(message)

    async def request(self, message: Message) -> Message:
        self.asked.append(message)
        if self._answer is None:
            raise NoBackChannel("the client declared no such capability")
        return Message("response", id=message.id, result=await self._answer(message))


def spec(*eras: str, server: str = "plain.py", environment: Mapping[str, str] | None = None) -> ChildSpec:
    """Return how a test server is run; short graces, so that stubborn ones do not hold tests up."""
    command = (sys.executable, str(SERVERS / server), *eras)
    return ChildSpec(
        "plain", command, allowed(os.environ) if environment is None else environment, stdin_grace_s=1, term_grace_s=0.5
    )


@asynccontextmanager
async def hosting(of: ChildSpec, options: StdioOptions = OPTIONS) -> AsyncGenerator[StdioHost]:
    """Start a host for the block."""
    host = StdioHost(of, options)
    try:
        await host.start()
        yield host
    finally:
        await host.close()


def record(**changes: Any) -> SessionRecord:
    """Return a legacy session's record, as it is when its link is opened."""
    client = {"name": "test", "version": "1"}
    params: dict[str, Any] = {
        "protocolVersion": "2025-11-25",
        "capabilities": {"elicitation": {}},
        "clientInfo": client,
    }
    return replace(SessionRecord("s1", "2025-11-25", params, None, 0.0), **changes)


async def session(host: StdioHost, back: Back | None = None) -> Link:
    """Return the link of a session whose handshake is done."""
    link = await host.open(record(), back or Remembering())
    reply = await link.request(message.request("hello", "initialize", record().initialize), Remembering(), LEGACY)
    assert reply.result is not None
    await link.notify(message.notification("notifications/initialized"), LEGACY)
    return link


def tool(name: str, arguments: dict[str, Any] | None = None, *, id: str | int = 1, meta: Any = None) -> Message:
    """Return a call of a tool."""
    params: dict[str, Any] = {"name": name, "arguments": arguments or {}}
    if meta is not None:
        params["_meta"] = meta
    return message.request(id, "tools/call", params)


async def ask(link: Link, name: str, arguments: dict[str, Any] | None = None, *, call: Call = MODERN) -> Any:
    """Return what a tool of a test server answers, out of its text."""
    return said(await link.request(tool(name, arguments), Remembering(), call))


def said(reply: Message) -> Any:
    """Return the value in a tool's text."""
    assert reply.result is not None, reply.error
    return json.loads(cast("str", reply.result["content"][0]["text"]))


async def until(is_so: Callable[[], bool], what: str, *, seconds: float = 10.0) -> None:
    """Wait for something in another process, or in a task. Fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(POLL_S)


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that ended and was not reaped does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def children(pid: int) -> list[int]:
    """Return the children of a process, those not reaped included."""
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found
