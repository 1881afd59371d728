"""What drives an adapter: channels back that remember, sessions that are asked, and the list of scenarios."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Any, Final, Protocol

from portside.errors import NoBackChannel, StartFailed
from portside.hosting.base import Call, Host, Link
from portside.wire import message as messages
from portside.wire.message import Id, Message
from portside.wire.session import SessionRecord

CALL: Final = Call(era="legacy", revision="2025-11-25", headers=((b"x-probe", b"seen"),))
CLIENT: Final[dict[str, Any]] = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"elicitation": {}, "sampling": {}, "roots": {}},
    "clientInfo": {"name": "driver", "version": "1"},
}
NAMED: Final[dict[str, Any]] = {"action": "accept", "content": {"name": "Ann"}}

Answer = dict[str, Any] | Callable[[Message], Awaitable[dict[str, Any]]]
"""What a client says to a question: a result, or an error where there is a code; or what finds it."""


class Scenario(Protocol):
    """Something to try; what it returns is printed under its name."""

    __name__: str

    async def __call__(self, drive: "Drive") -> Any:
        """Try it."""
        ...


class Heard:
    """A channel back that keeps what it was told and gives the answers it was given."""

    def __init__(self, answers: Mapping[str, Answer] | None = None) -> None:
        self.told: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.something = asyncio.Event()
        self._answers = answers or {}

    async def notify(self, message: Message) -> None:
        self.told.append({"method": message.method, "params": message.params})
        self.something.set()

    async def request(self, message: Message) -> Message:
        self.asked.append({"method": message.method, "params": message.params})
        answer = self._answers.get(message.method)
        if answer is None:
            raise NoBackChannel("nobody is there")
        said = await answer(message) if callable(answer) else answer
        if "code" in said:
            return Message("response", id=message.id, error=said)
        return messages.response(message.id, said)


class Session:
    """One open session and the channels it was given."""

    def __init__(self, link: Link, connection: Heard, id: str) -> None:
        self.link = link
        self.connection = connection
        self.id = id

    async def ask(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        back: Heard | None = None,
        *,
        id: Id = 1,
        call: Call = CALL,
    ) -> dict[str, Any]:
        """Return the answer to a request, as it would go out."""
        answer = await self.link.request(messages.request(id, method, params), back or Heard(), call)
        return json.loads(answer.encode())

    async def tool(
        self, name: str, back: Heard | None = None, *, id: Id = 1, call: Call = CALL, **arguments: Any
    ) -> Any:
        """Return the result of a tool."""
        params = {"name": name, "arguments": arguments, "_meta": {"progressToken": f"token-{id}"}}
        return (await self.ask("tools/call", params, back, id=id, call=call))["result"]


class Drive:
    """A started host and its family's servers."""

    def __init__(self, family: Any, host: Host) -> None:
        self.family = family
        self.host = host
        self._ids = count(1)

    async def raw(self) -> Session:
        """Return a session that has not shaken hands."""
        connection = Heard()
        record = SessionRecord(f"session-{next(self._ids)}", "2025-11-25", dict(CLIENT), None, 0.0)
        return Session(await self.host.open(record, connection), connection, record.id)

    async def session(self, **handshake: Any) -> Session:
        """Return a session that has shaken hands."""
        session = await self.raw()
        await session.ask("initialize", {**CLIENT, **handshake})
        await session.link.notify(messages.notification("notifications/initialized"), CALL)
        return session


def text(result: Mapping[str, Any]) -> str:
    """Return the text of a tool's result."""
    return "".join(block["text"] for block in result["content"])


async def failure(attempt: Awaitable[Any]) -> str | None:
    """Return why a start failed, None where it did not."""
    try:
        await attempt
    except StartFailed as error:
        return str(error)
    return None
