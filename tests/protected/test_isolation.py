"""Fifty users at once, all under the same ids: nothing of one reaches another, and nobody's session can be guessed at.

Row A5 of the reliability bar; SOAK_OPERATIONS=100000 is the whole of it, seconds of it are run otherwise.
"""

import asyncio
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Generator, Mapping
from typing import Final

import pytest

from tests.journeys.raw import Reply, get, post
from tests.processes import Serving
from tests.protected.made import Deployment, ask, bearer, connected, legacy, open_session, printed, unforeseen
from tests.protected.users import EVENTS, User, live

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(1800)]

USERS: Final = 50
OPERATIONS: Final = int(os.environ.get("SOAK_OPERATIONS", "0"))
SAMPLE_S: Final = 6.0
KINDS: Final = frozenset(
    {
        "modern call", "modern stream", "modern question", "modern retry", "foreign requestState",
        "legacy call", "legacy stream", "replay", "replay of somebody else's", "cancel", "response", "stray response",
        "announcement", "stream", "foreign call", "foreign cancel", "foreign response", "foreign stream", "foreign end",
    }
)  # fmt: skip
UNKNOWN: Final = "0123456789abcdef0123456789abcdef"
CHANGING: Final = frozenset({"date", "x-request-id", "ratelimit", "ratelimit-policy"})


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Serving, Deployment]]:
    deployment = Deployment(tmp_path_factory.mktemp("isolation"))
    with deployment.serving(environment={"PORTSIDE_MAX_STREAM_EVENTS": "64"}) as server:
        yield server, deployment
        assert unforeseen(server) == []


async def test_nothing_of_one_user_reaches_another(deployed: tuple[Serving, Deployment]) -> None:
    server, deployment = deployed
    users = [await User.join(number, server.port, deployment) for number in range(USERS)]
    until = time.monotonic() + SAMPLE_S

    def goes_on() -> bool:
        done = sum(user.seen.total() for user in users)
        return done < OPERATIONS if OPERATIONS else time.monotonic() < until

    async with asyncio.TaskGroup() as tasks:
        for user in users:
            others = [one for one in users if one is not user]
            tasks.create_task(live(user, others, goes_on, random.Random(user.number)))
    seen = sum((user.seen for user in users), Counter[str]())
    print(f"isolation: {seen.total()} operations of {USERS} users: {dict(seen)}")
    assert set(seen) == KINDS
    for user in users:
        reply = await ask(server.port, legacy("ping", session=user.session))
        assert (reply.status, reply.json["result"]) == (200, {})
        assert user.session["Mcp-Session-Id"] not in printed(server)


async def test_somebody_elses_session_looks_like_an_unknown_one_to_the_last_byte(
    deployed: tuple[Serving, Deployment],
) -> None:
    """Spec: MCP security best practices, Session Hijacking."""
    server, deployment = deployed
    token = deployment.token("intruder")
    foreign = await open_session(server.port, deployment.token("owner"))
    unknown = {**foreign, "Mcp-Session-Id": UNKNOWN}
    for name, request in _requests(foreign, unknown, token).items():
        theirs, nobodys = [await ask(server.port, one) for one in request]
        assert _comparable(theirs) == _comparable(nobodys), name
        assert theirs.status in (400, 404), name
        assert foreign["Mcp-Session-Id"].encode() not in theirs.body
    assert (await ask(server.port, legacy("ping", session=foreign))).status == 200
    ended = await ask(server.port, get("/mcp", foreign, method="DELETE"))
    after = await ask(server.port, legacy("ping", session=foreign))
    never = await ask(server.port, legacy("ping", session={**unknown, **bearer(deployment.token("owner"))}))
    assert ended.status == 200
    assert _comparable(after) == _comparable(never)


async def test_somebody_elses_session_takes_as_long_as_an_unknown_one(deployed: tuple[Serving, Deployment]) -> None:
    """Ours: measured in turn on one connection, so that whatever slows the machine slows both."""
    server, deployment = deployed
    token = deployment.token("intruder")
    foreign = {**await open_session(server.port, deployment.token("owner")), **bearer(token)}
    unknown = {**foreign, "Mcp-Session-Id": UNKNOWN}
    times: dict[str, list[float]] = {"foreign": [], "unknown": []}
    async with connected(server.port) as connection:
        for _ in range(400):
            for name, session in (("foreign", foreign), ("unknown", unknown)):
                begun = time.perf_counter()
                await connection.ask(legacy("ping", session=session))
                times[name].append(time.perf_counter() - begun)
    theirs, nobodys = (statistics.median(times[name]) for name in ("foreign", "unknown"))
    assert 0.5 < theirs / nobodys < 2


async def test_a_fresh_token_of_the_same_user_keeps_the_session_and_another_clients_does_not(
    deployed: tuple[Serving, Deployment],
) -> None:
    server, deployment = deployed
    session = await open_session(server.port, deployment.token("ann"))

    async def status(token: str) -> int:
        return (await ask(server.port, legacy("ping", session={**session, **bearer(token)}))).status

    assert await status(deployment.token("ann", "more", seconds=60)) == 200
    assert await status(deployment.token("ann", client_id="other")) == 404
    assert await status(deployment.token("ann", client_id=None)) == 404
    assert await status(deployment.token("Ann")) == 404
    assert await status(deployment.token("ann ")) == 404


def _requests(foreign: Mapping[str, str], unknown: Mapping[str, str], token: str) -> dict[str, tuple[bytes, bytes]]:
    """Return everything that can be asked of a session, of a foreign and of an unknown one."""
    call = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "x"}}}
    response: dict[str, object] = {"jsonrpc": "2.0", "id": "portside-1", "result": {}}
    bodies: dict[str, object] = {
        "call": call,
        "call of no tool": {**call, "params": {"name": "none"}},
        "malformed call": {**call, "params": {}},
        "ping": {"jsonrpc": "2.0", "id": "a", "method": "ping"},
        "unknown method": {"jsonrpc": "2.0", "id": 1, "method": "no/such"},
        "notification": {"jsonrpc": "2.0", "method": "notifications/initialized"},
        "cancel": {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}},
        "response": response,
        "batch": [call, response],
    }

    def both(body: object) -> tuple[bytes, bytes]:
        first, second = ({**session, **bearer(token)} for session in (foreign, unknown))
        return post(body, first), post(body, second)

    found = {name: both(body) for name, body in bodies.items()}
    for name, method, more in (
        ("stream", "GET", EVENTS),
        ("resumed stream", "GET", {**EVENTS, "Last-Event-ID": "0.1"}),
        ("odd event", "GET", {**EVENTS, "Last-Event-ID": "x"}),
        ("end", "DELETE", {}),
    ):
        first, second = (
            get("/mcp", {**session, **bearer(token), **more}, method=method) for session in (foreign, unknown)
        )
        found[name] = first, second
    return found


def _comparable(reply: Reply) -> tuple[int, list[tuple[str, str]], bytes]:
    kept = [(name, value) for name, value in reply.headers.items() if name not in CHANGING]
    return reply.status, kept, reply.body
