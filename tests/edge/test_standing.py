"""Streams and the credentials they were opened by: when one ends, what is sent then, and what is left alone."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from portside.auth.authenticators import Credentials
from portside.auth.principal import Principal
from portside.auth.refused import IdentityUnavailable, TokenExpired
from portside.clock import ManualClock
from portside.edge.asgi import Message, Receive, Scope, Send
from portside.edge.standing import Standing, may_stay_open
from tests.edge.asked import HOST, STALLED, Answer, ask, part, request

pytestmark = pytest.mark.anyio

ANN = Principal("jwt", "i", "ann")
GONE: Message = {"type": "http.disconnect"}


@dataclass
class Way:
    """One way to prove who one is: it says each of these in turn, the last one again and again."""

    verdicts: list[Principal | Exception | None]
    each: Callable[[], None] = lambda: None
    asked: int = 0

    def known(self, credentials: Credentials) -> Principal | None:
        return None

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        verdict = self.verdicts[min(self.asked, len(self.verdicts) - 1)]
        self.asked += 1
        self.each()
        if isinstance(verdict, Exception):
            raise verdict
        return verdict


@dataclass
class Stream:
    """An application that streams until its client leaves."""

    heard: list[Message] = field(default_factory=list[Message])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        while not self.heard or self.heard[-1] != GONE:
            self.heard.append(await receive())


async def streamed(way: Way, principal: Principal = ANN, clock: ManualClock | None = None) -> tuple[Answer, Stream]:
    """Open a stream whose client stays."""
    app = Stream()
    standing = Standing([way], Credentials("t"), principal, clock or ManualClock(), check_s=0.001)

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        await standing.serve(app, scope, receive, send)

    return await ask(guarded, request([HOST], method="GET"), part(b""), STALLED), app


@pytest.mark.parametrize(
    "verdict", [TokenExpired(), None, Principal("jwt", "i", "bob")], ids=["refused", "nobody", "somebody else"]
)
async def test_a_stream_ends_as_a_whole_response_once_its_caller_would_not_be_let_in(
    verdict: Principal | Exception | None,
) -> None:
    way = Way([ANN, IdentityUnavailable("away"), ANN, verdict])
    answer, app = await streamed(way)
    assert way.asked == 4
    assert app.heard == [part(b""), GONE]
    assert [(message.get("body"), message.get("more_body")) for message in answer.sent[1:]] == [
        (b"a", True),
        (b"", False),
    ]


async def test_what_cannot_be_judged_ends_a_minute_after_its_expiry() -> None:
    clock = ManualClock()
    principal = Principal("jwt", "i", "ann", expires=clock.now() + 10)
    way = Way([IdentityUnavailable("away")], each=lambda: clock.advance(20))
    answer, _ = await streamed(way, principal, clock)
    assert (answer.sent[-1]["more_body"], way.asked) == (False, 4)  # 80 s, the first look past 70


async def test_a_client_that_leaves_is_heard_at_once() -> None:
    app = Stream()
    standing = Standing([Way([ANN])], Credentials("t"), ANN, ManualClock())

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        await standing.serve(app, scope, receive, send)

    answer = await ask(guarded, request([HOST], method="GET"), part(b""), GONE)
    assert (app.heard, answer.sent[-1].get("more_body")) == ([part(b""), GONE], True)


async def test_an_answer_that_is_complete_gets_nothing_added() -> None:
    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"whole"})
        await receive()
        assert await receive() == GONE

    standing = Standing([Way([None])], Credentials("t"), ANN, ManualClock(), check_s=0.001)

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        await standing.serve(late, scope, receive, send)

    answer = await ask(guarded, request([HOST], method="GET"), part(b""), STALLED)
    assert len(answer.sent) == 2


@pytest.mark.parametrize(
    ("method", "named", "may"),
    [
        ("GET", b"", True),
        ("POST", b"subscriptions/listen", True),
        ("POST", b" subscriptions/listen\t", True),
        ("POST", b"tools/call", False),
        ("POST", b"", False),
        ("DELETE", b"", False),
    ],
)
def test_what_may_stay_open_is_told_by_the_head(method: str, named: bytes, may: bool) -> None:
    headers = [HOST, (b"mcp-method", named)] if named else [HOST]
    assert may_stay_open(request(headers, method=method)) is may
