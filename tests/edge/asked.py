"""The edge asked the way an ASGI server asks: scopes, scripted messages, and what came back."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from portside.edge.asgi import ASGIApp, Message, Receive, Scope, Send
from portside.observe.record import Record

Pairs = Sequence[tuple[bytes, bytes]]

PEER: Final = "192.0.2.10"
HOST: Final = (b"host", b"localhost")
GONE: Final[Message] = {"type": "http.disconnect"}
STALLED: Final[Message] = {"type": "stalled"}
"""In a script: from here on nothing comes any more."""


def part(body: bytes, *, more: bool = False) -> Message:
    """Return one piece of a body."""
    return {"type": "http.request", "body": body, "more_body": more}


def request(
    headers: Pairs = (HOST,),
    *,
    method: str = "POST",
    path: str = "/mcp",
    query: bytes = b"",
    client: str | None = PEER,
    scheme: str = "http",
    also: Mapping[str, object] | None = None,
) -> Scope:
    """Return a scope as the outermost layer leaves it, with what `also` says; `headers` in lower case."""
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "root_path": "",
        "headers": list(headers),
        "client": None if client is None else (client, 50000),
        "server": ("127.0.0.1", 8000),
        "portside.headers": dict(headers),
        "portside.fields": [],
        "portside.record": Record(client=client or ""),
        **(also or {}),
    }


@dataclass
class Answer:
    """What an application sent, and the scope it was asked with."""

    scope: Scope
    sent: list[Message] = field(default_factory=list[Message])

    @property
    def status(self) -> int:
        """The status; 0 where no response was started."""
        return self.sent[0]["status"] if self.sent else 0

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Every header of the response, in order, and what the outermost layer was told to add, where it has not."""
        given = list(self.sent[0]["headers"])
        return [*given, *(pair for pair in self.scope["portside.fields"] if pair not in given)]

    @property
    def body(self) -> bytes:
        """The body, put together."""
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    @property
    def record(self) -> Record:
        """The record of the request."""
        return self.scope["portside.record"]

    def all(self, name: bytes) -> list[bytes]:
        """Return every value of one header."""
        return [value for given, value in self.headers if given == name]


async def ask(app: ASGIApp, scope: Scope, *script: Message) -> Answer:
    """Ask once. `script` is what the client sends, an empty body if nothing; then it stays and is silent."""
    answer = Answer(scope)
    coming = list(script or (part(b""),))

    async def receive() -> Message:
        if not coming or coming[0] is STALLED:
            await asyncio.Event().wait()
        return coming.pop(0) if coming[0] is not GONE else GONE

    async def send(message: Message) -> None:
        answer.sent.append(message)

    async with asyncio.timeout(5):
        await app(scope, receive, send)
    return answer


async def answer(send: Send, *, status: int = 200, headers: Pairs = (), body: bytes = b"app") -> None:
    """Answer in one piece."""
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


@dataclass
class Inner:
    """An application behind the layer under test; keeps what reached it."""

    seen: list[Scope] = field(default_factory=list[Scope])
    headers: Pairs = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(scope)
        await answer(send, headers=self.headers)
