"""Users who do all there is to do at once, under the same JSON-RPC ids, and look for each other in every answer."""

import asyncio
import json
import random
import re
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.journeys.raw import Connection, Reply, get, post
from tests.protected.made import Deployment, bearer, call, connected, legacy, open_session, text_of

ID: Final = 1
"""The id of every request of everybody."""

CANARY: Final = re.compile(r"canary-[0-9]+-[0-9a-f]{16}")
ELICITATION: Final[Mapping[str, Any]] = {"elicitation": {"form": {}}}
EVENTS: Final = {"Accept": "text/event-stream"}


@dataclass
class User:
    """One user: a token, a legacy session, and a word that belongs into nobody else's answers.

    `decoy` is a second session in which nothing runs: what is said there is meant for somebody else's first one.
    """

    number: int
    port: int
    token: str
    session: dict[str, str]
    decoy: dict[str, str]
    canary: str
    seen: Counter[str] = field(default_factory=Counter[str])

    @classmethod
    async def join(cls, number: int, port: int, deployment: Deployment) -> "User":
        token = deployment.token(f"user-{number}")
        session, decoy = [await open_session(port, token, capabilities=ELICITATION) for _ in range(2)]
        return cls(number, port, token, session, decoy, f"canary-{number}-{secrets.token_hex(8)}")

    def check(self, *texts: bytes | str) -> None:
        """Raise AssertionError where anybody else's word is in what this user was told."""
        for text in texts:
            found = CANARY.findall(text.decode() if isinstance(text, bytes) else text)
            others = set(found) - {self.canary}
            if others:
                raise AssertionError(f"user {self.number} was told {others}")

    async def ask(self, connection: Connection, request: bytes, what: str, status: int = 200) -> Reply:
        """Ask as this user; the answer must have the status, and nothing of others in it."""
        reply = await connection.ask(request, timeout_s=30)
        self.check(reply.body, json.dumps(reply.headers))
        self.seen[what] += 1
        if reply.status != status:
            raise AssertionError(f"{what} was answered with {reply.status}, expected {status}: {reply.body!r}")
        return reply

    def own(self, reply: Reply) -> None:
        """Check that a tool's answer is about this user's word."""
        text = text_of(reply)
        if self.canary not in text or {message["id"] for message in reply.messages if "id" in message} != {ID}:
            raise AssertionError(f"user {self.number} got {text!r}")


Act = Callable[[User, User, Connection], Awaitable[None]]


async def call_modern(me: User, other: User, connection: Connection) -> None:
    me.own(await me.ask(connection, call("echo", {"text": me.canary}, token=me.token, id=ID), "modern call"))


async def stream_modern(me: User, other: User, connection: Connection) -> None:
    request = call("steps", {"text": me.canary, "count": 3}, token=me.token, id=ID, meta={"progressToken": ID})
    reply = await me.ask(connection, request, "modern stream")
    if [one["method"] for one in reply.messages[:-1]] != ["notifications/progress"] * 3:
        raise AssertionError(reply.body)
    me.own(reply)


async def call_legacy(me: User, other: User, connection: Connection) -> None:
    me.own(await me.ask(connection, _tool(me, "echo", {"text": me.canary}), "legacy call"))


async def replay(me: User, other: User, connection: Connection) -> None:
    """Ask for the rest of an own stream once more, then for what an id of somebody else's stream would name."""
    reply = await me.ask(connection, _tool(me, "steps", {"text": me.canary, "count": 2}, ID), "legacy stream")
    events = reply.events
    again = get("/mcp", {**me.session, **EVENTS, "Last-Event-ID": events[0].id or ""})
    replayed = await me.ask(connection, again, "replay")
    if [event.id for event in replayed.events if event.data] != [event.id for event in events[1:]]:
        raise AssertionError(f"replayed {replayed.body!r}, expected the rest of {reply.body!r}")
    me.own(replayed)
    theirs = get("/mcp", {**other.session, **bearer(me.token), **EVENTS, "Last-Event-ID": events[0].id or ""})
    await me.ask(connection, theirs, "replay of somebody else's", 404)


async def listen(me: User, other: User, connection: Connection) -> None:
    """Hear on the standalone stream what one's own call says there."""
    async with connected(me.port) as stream:
        stream.send(get("/mcp", {**me.session, **EVENTS}))
        await stream.head()
        await me.ask(connection, _tool(me, "announce", {"text": me.canary}), "announcement")
        async with asyncio.timeout(20):
            while b"resources/updated" not in (block := await stream.chunk()):
                me.check(block)
        me.check(block)
        if me.canary.encode() not in block:
            raise AssertionError(f"user {me.number} heard {block!r}")
        me.seen["stream"] += 1


async def intrude(me: User, other: User, connection: Connection) -> None:
    """Do everything that can be done with the id of somebody else's session."""
    stolen = {**other.session, **bearer(me.token)}
    response = {"jsonrpc": "2.0", "id": "portside-1", "result": {"action": "accept", "content": {"word": me.canary}}}
    for what, request in {
        "foreign call": legacy("tools/call", {"name": "echo", "arguments": {"text": "x"}}, session=stolen, id=ID),
        "foreign cancel": legacy("notifications/cancelled", {"requestId": ID}, session=stolen, id=None),
        "foreign response": post(response, stolen),
        "foreign stream": get("/mcp", {**stolen, **EVENTS}),
        "foreign end": get("/mcp", stolen, method="DELETE"),
    }.items():
        await me.ask(connection, request, what, 404)


async def cancel(me: User, other: User, connection: Connection) -> None:
    """Have a call under way while somebody else cancels the same id, in a session of their own and in this one."""
    connection.send(_tool(me, "wait", {"seconds": 0.02, "text": me.canary}))
    async with connected(me.port) as second:
        stolen = {**me.session, **bearer(other.token)}
        for session, status in ((other.decoy, 202), (stolen, 404)):
            request = legacy("notifications/cancelled", {"requestId": ID}, session=session, id=None)
            await other.ask(second, request, "cancel", status)
    reply = await connection.reply(timeout_s=30)
    me.check(reply.body)
    me.own(reply)


async def retry(me: User, other: User, connection: Connection) -> None:
    """Be asked in the middle of a modern call, and let somebody else try to answer first."""
    asked = {"text": me.canary}
    first = await me.ask(connection, call("ask", asked, token=me.token, id=ID), "modern question")
    result = first.json["result"]
    (key,) = result["inputRequests"]
    answers = {key: {"action": "accept", "content": {"word": "mine"}}}
    params = {"name": "ask", "arguments": asked, "requestState": result["requestState"], "inputResponses": answers}
    async with connected(me.port) as second:
        theirs = post_modern(params, other.token)
        reply = await second.ask(theirs, timeout_s=30)
        error = reply.json["error"]
        if reply.status != 400 or error["data"]["reason"] != "invalid_request_state":
            raise AssertionError(f"somebody else's requestState was answered with {reply.body!r}")
        other.check(reply.body)
        other.seen["foreign requestState"] += 1
    own = await me.ask(connection, post_modern(params, me.token), "modern retry")
    if text_of(own) != f"{me.canary} mine":
        raise AssertionError(own.body)


async def answer(me: User, other: User, connection: Connection) -> None:
    """Be asked on a legacy call's stream, while somebody else answers the same id in their own session."""
    connection.send(_tool(me, "ask", {"text": me.canary}))
    await connection.head()
    block = b""
    async with asyncio.timeout(20):
        while b"elicitation/create" not in block:
            block = await connection.chunk()
            me.check(block)
        question = json.loads(block.split(b"data: ", 1)[1].splitlines()[0])
        said = {"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {"word": "theirs"}}}
        async with connected(me.port) as second:
            await other.ask(second, post(said, other.decoy), "stray response", 202)
            said["result"] = {"action": "accept", "content": {"word": "mine"}}
            await me.ask(second, post(said, me.session), "response", 202)
        told = await _rest(connection)
    me.check(told)
    if f"{me.canary} mine".encode() not in told:
        raise AssertionError(told)


ACTS: Final[Mapping[Act, int]] = {
    call_modern: 8, stream_modern: 4, call_legacy: 8, replay: 3, listen: 1, intrude: 3, cancel: 2, retry: 3, answer: 2
}  # fmt: skip


async def live(me: User, others: Sequence[User], goes_on: Callable[[], bool], chance: random.Random) -> None:
    """Act as a user, one thing after the other, for as long as it goes on."""
    acts, weights = list(ACTS), list(ACTS.values())
    async with connected(me.port) as connection:
        while goes_on():
            (act,) = chance.choices(acts, weights)
            await act(me, chance.choice(others), connection)


def post_modern(params: Mapping[str, Any], token: str) -> bytes:
    """Return the retry of a modern call."""
    more = {key: value for key, value in params.items() if key not in ("name", "arguments")}
    return call(params["name"], params["arguments"], token=token, id=ID, params=more)


def _tool(me: User, name: str, arguments: Mapping[str, Any], progress: int | None = None) -> bytes:
    meta = {} if progress is None else {"_meta": {"progressToken": progress}}
    return legacy("tools/call", {"name": name, "arguments": dict(arguments), **meta}, session=me.session, id=ID)


async def _rest(connection: Connection) -> bytes:
    parts: list[bytes] = []
    while part := await connection.chunk():
        parts.append(part)
    return b"".join(parts)
