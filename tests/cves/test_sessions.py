"""Sessions and state: another's, a guessed one, one that was never given, and far too many."""

from typing import Any

import pytest

from portside.gateway.options import Options
from portside.wire import refusal
from tests.cves.stage import META, ask, called, signed, text_of, token
from tests.gateway.servers import build
from tests.gateway.wired import wired
from tests.hostile.stage import printed
from tests.journeys.raw import Reply, get, post
from tests.processes import Serving

pytestmark = pytest.mark.anyio

HELLO: dict[str, Any] = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "raw", "version": "1"},
}


async def opened(server: Serving, bearer: str, session: str | None = None) -> str:
    """Open a session and return its id; `session` is an id that the client would like to have."""
    headers = {} if session is None else {"Mcp-Session-Id": session}
    body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO}
    reply = await ask(server, signed(post(body, headers), bearer))
    assert reply.status == 200
    return reply.headers["mcp-session-id"]


async def used(server: Serving, bearer: str, session: str) -> Reply:
    headers = {"Mcp-Session-Id": session, "MCP-Protocol-Version": "2025-11-25"}
    return await ask(server, signed(post({"jsonrpc": "2.0", "id": 1, "method": "ping"}, headers), bearer))


async def test_a_session_is_worth_nothing_to_somebody_else(server: Serving) -> None:
    """Session hijacking by its id (CWE-639; CVE-2025-6515): it looks as if it did not exist."""
    ann, eve = token("ann"), token("eve")
    session = await opened(server, ann)
    stolen, unknown = await used(server, eve, session), await used(server, eve, "unknown")
    assert (stolen.status, stolen.json) == (404, unknown.json)
    assert (await used(server, ann, session)).status == 200


async def test_ids_of_sessions_are_long_random_and_never_the_same(server: Serving) -> None:
    """Ids that can be guessed or come again (CWE-340; CVE-2025-6515)."""
    ids = {await opened(server, token()) for _ in range(20)}
    assert len(ids) == 20
    assert min(map(len, ids)) >= 22  # 128 bits in base64


async def test_a_session_id_of_the_clients_choice_is_not_taken(server: Serving) -> None:
    """Session fixation (CWE-384)."""
    body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO}
    reply = await ask(server, signed(post(body, {"Mcp-Session-Id": "chosen"})))
    assert reply.headers.get("mcp-session-id") != "chosen"
    assert (await used(server, token(), "chosen")).status == 404


async def test_a_session_id_is_in_no_log(server: Serving) -> None:
    """Session ids in logs (CWE-532)."""
    session = await opened(server, token())
    await used(server, token(), session)
    assert session not in printed(server)


async def test_a_session_cannot_be_ended_by_somebody_else(server: Serving) -> None:
    """Acts on another's state by its id (CWE-639)."""
    ann = token("ann")
    session = await opened(server, ann)
    headers = {"Mcp-Session-Id": session, "MCP-Protocol-Version": "2025-11-25"}
    assert (await ask(server, signed(get("/mcp", headers, method="DELETE"), token("eve")))).status == 404
    assert (await used(server, ann, session)).status == 200


async def test_events_of_another_session_cannot_be_taken_up(server: Serving) -> None:
    """An event store that is keyed by the event alone (CWE-639)."""
    async with wired(build()) as clients:
        ann = await clients.session(principal="ann")
        said = await ann.call("count", {"to": 2}, token="t").until_over()
        last = said.events[0].id
        assert last is not None
        eve = await clients.session(principal="eve")
        stolen = eve.get(last)
        await stolen.until_started()
        assert (stolen.status, stolen.body) != (200, said.body)
        assert not [message for message in stolen.messages if message.get("id") == 1]
        stolen.leave()


async def test_equal_ids_of_two_clients_are_two_calls(server: Serving) -> None:
    """Answers told apart by an id that clients choose, so that one gets another's (CWE-488; CVE-2026-25536)."""
    async with wired(build()) as clients:
        sessions = [await clients.session(principal=name) for name in ("ann", "eve")]
        calls = [one.call("echo", {"text": one.principal}, id=1) for one in sessions for _ in range(1)]
        calls += [clients.call("echo", {"text": name}, id=1, principal=name) for name in ("ann", "eve")]
        texts = [(await one.until_over()).messages[-1]["result"]["content"][0]["text"] for one in calls]
    assert texts == ["ann", "eve", "ann", "eve"]


@pytest.mark.parametrize("change", ["forged", "of another caller", "for other arguments"])
async def test_state_that_a_client_carries_is_good_for_what_it_was_given_for(change: str) -> None:
    """State in a client's hands, changed or used elsewhere (CWE-565, CWE-642)."""
    async with wired(build()) as clients:
        asked = await clients.call("greet", principal="ann").until_over()
        state: str = asked.messages[-1]["result"]["requestState"]
        given = state[:-4] + "AAAA" if change == "forged" else state
        principal = "eve" if change == "of another caller" else "ann"
        arguments = {"x": 1} if change == "for other arguments" else {}
        params: dict[str, Any] = {"requestState": given, "inputResponses": {}}
        refused = await clients.call("greet", arguments, params=params, principal=principal).until_over()
    assert (refused.status, refused.json["error"]["code"]) == (400, refusal.INVALID_PARAMS)


async def test_state_that_comes_twice_does_nothing_twice() -> None:
    """Replay (CWE-294)."""
    async with wired(build()) as clients:
        first = (await clients.call("greet").until_over()).messages[-1]["result"]
        question = next(iter(first["inputRequests"]))
        results: list[Any] = []
        for name in ("Ann", "Eve"):
            answer = {question: {"action": "accept", "content": {"name": name}}}
            params: dict[str, Any] = {"requestState": first["requestState"], "inputResponses": answer}
            results.append((await clients.call("greet", params=params).until_over()).messages[-1]["result"])
    assert results[0]["inputRequests"] == results[1]["inputRequests"]


async def test_a_flood_of_sessions_is_capped_and_told_when_to_come_back() -> None:
    """Sessions without bound (CWE-770)."""
    async with wired(build(), Options(max_sessions=2)) as clients:
        for _ in range(2):
            await clients.session()
        body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO}
        refused = await clients.send("POST", body).until_over()
    assert refused.status == 503
    assert int(refused.headers[b"retry-after"]) > 0


async def test_a_list_made_for_one_caller_is_not_for_all(server: Serving) -> None:
    """One caller's list kept for others (CWE-524), and tools in it that the caller may not use (CWE-200)."""
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
    request = post(body, {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/list"})
    for scope, is_seen in (("", False), ("admin", True)):
        result = (await ask(server, signed(request, token(scope=scope)))).json["result"]
        assert ("privileged" in [tool["name"] for tool in result["tools"]]) is is_seen
        assert result.get("cacheScope", "private") == "private"


async def test_a_tool_that_is_not_shown_cannot_be_called_either(server: Serving) -> None:
    """Rights checked where things are listed and not where they are done (CWE-425)."""
    reply = await ask(server, called("privileged", {}))
    assert (reply.status, reply.json["error"]["code"]) == (403, refusal.NOT_ALLOWED)
    assert 'scope="admin"' in reply.headers["www-authenticate"]
    assert text_of(await ask(server, called("echo", {"text": "a"}))) == "a"
