"""Who may do what, through the real server, in both eras: calls, lists, batches, and what everybody needs."""

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest

from tests.journeys.raw import get, post
from tests.processes import Serving
from tests.protected.made import (
    Deployment,
    ask,
    bearer,
    call,
    connected,
    legacy,
    modern,
    open_session,
    printed,
    text_of,
)
from tests.protected.scoped import forbidden

pytestmark = pytest.mark.anyio

BATCHES: Final = "2025-03-26"
EVERYTHING: Final = ("mcp", "admin", "notes:private", "notes:of", "prompts:closed", "ops")


CASES: Final[Mapping[str, tuple[str, dict[str, Any], tuple[str, ...]]]] = {
    "tool": ("tools/call", {"name": "remove", "arguments": {"text": "x"}}, ("notes:write",)),
    "tool by pattern": ("tools/call", {"name": "admin_stop", "arguments": {}}, ("admin",)),
    "tool that is not there, by pattern": ("tools/call", {"name": "admin_none", "arguments": {}}, ("admin",)),
    "resource": ("resources/read", {"uri": "note://private"}, ("notes:private",)),
    "resource of a template": ("resources/read", {"uri": "note://of/ann"}, ("notes:of",)),
    "prompt": ("prompts/get", {"name": "closed_prompt"}, ("prompts:closed",)),
    "completion of a prompt": (
        "completion/complete",
        {"ref": {"type": "ref/prompt", "name": "closed_prompt"}, "argument": {"name": "a", "value": "b"}},
        ("prompts:closed",),
    ),
    "completion of a resource": (
        "completion/complete",
        {"ref": {"type": "ref/resource", "uri": "note://of/{name}"}, "argument": {"name": "name", "value": "b"}},
        ("notes:of",),
    ),
}
MODERN_ONLY: Final[Mapping[str, tuple[str, dict[str, Any], tuple[str, ...]]]] = {
    "subscription": (
        "subscriptions/listen",
        {"notifications": {"toolsListChanged": True, "resourceSubscriptions": ["note://public", "note://private"]}},
        ("notes:private",),
    ),
}
LEGACY_ONLY: Final[Mapping[str, tuple[str, dict[str, Any], tuple[str, ...]]]] = {
    "subscription": ("resources/subscribe", {"uri": "note://private"}, ("notes:private",)),
    "method": ("logging/setLevel", {"level": "debug"}, ("ops",)),
}


@pytest.mark.parametrize(("method", "params", "scopes"), [*CASES.values(), *MODERN_ONLY.values()])
async def test_a_modern_request_needs_its_scopes(
    ruled: tuple[Serving, Deployment], method: str, params: dict[str, Any], scopes: tuple[str, ...]
) -> None:
    server, deployment = ruled
    reply = await ask(server.port, modern(method, params, id="i", token=deployment.token("ann", "mcp")))
    forbidden(reply, *scopes)
    assert reply.json["id"] == "i"
    async with connected(server.port) as connection:  # a subscription answers without end
        connection.send(modern(method, params, token=deployment.token("ann", "mcp", *scopes)))
        status, _ = await connection.head()
    assert status not in (401, 403)


@pytest.mark.parametrize(("method", "params", "scopes"), [*CASES.values(), *LEGACY_ONLY.values()])
async def test_a_legacy_request_needs_its_scopes(
    ruled: tuple[Serving, Deployment], method: str, params: dict[str, Any], scopes: tuple[str, ...]
) -> None:
    server, deployment = ruled
    session = await open_session(server.port, deployment.token("ann", "mcp"))
    forbidden(await ask(server.port, legacy(method, params, session=session, id="i")), *scopes)
    more = {**session, **bearer(deployment.token("ann", "mcp", *scopes))}
    reply = await ask(server.port, legacy(method, params, session=more))
    assert reply.status == 200


LISTS: Final = {
    "tools/list": ("tools", "name", {"remove", "admin_stop"}),
    "resources/list": ("resources", "uri", {"note://private"}),
    "resources/templates/list": ("resourceTemplates", "uriTemplate", {"note://of/{name}"}),
    "prompts/list": ("prompts", "name", {"closed_prompt"}),
}


@pytest.mark.parametrize("method", LISTS)
async def test_lists_hold_what_their_reader_may_use_in_both_eras(
    ruled: tuple[Serving, Deployment], method: str
) -> None:
    server, deployment = ruled
    member, key, hidden = LISTS[method]
    little, all_ = deployment.token("ann", "mcp"), deployment.token("ann", *EVERYTHING)
    session = await open_session(server.port, little)

    async def listed(token: str, *, is_modern: bool) -> set[str]:
        request = modern(method, token=token) if is_modern else legacy(method, session={**session, **bearer(token)})
        result = (await ask(server.port, request)).json["result"]
        assert not is_modern or result["cacheScope"] == "private"
        return {one[key] for one in result[member]}

    for is_modern in (True, False):
        seen, everything = await listed(little, is_modern=is_modern), await listed(all_, is_modern=is_modern)
        assert everything - seen == hidden
        assert seen < everything


async def test_a_scope_includes_what_it_implies_and_nothing_else(ruled: tuple[Serving, Deployment]) -> None:
    server, deployment = ruled
    remove = {"text": "x"}
    admin = await ask(server.port, call("remove", remove, token=deployment.token("ann", "mcp", "admin")))
    assert text_of(admin) == "removed x"
    writer = deployment.token("ann", "mcp", "notes:write")
    forbidden(await ask(server.port, call("admin_stop", {}, token=writer)), "admin")
    for near in ("notes:writer", "notes:*", "notes", "NOTES:WRITE", "*", "notes:write,admin"):
        token = deployment.token("ann", "mcp", near)
        forbidden(await ask(server.port, call("remove", remove, token=token)), "notes:write")


async def test_nothing_at_all_goes_without_the_scope_everybody_needs(ruled: tuple[Serving, Deployment]) -> None:
    server, deployment = ruled
    session = await open_session(server.port, deployment.token("ann", "mcp"))
    poor = {**session, **bearer(deployment.token("ann", "notes:write"))}
    for request in (
        modern("tools/list", token=deployment.token("ann")),
        modern("server/discover", token=deployment.token("ann")),
        legacy("initialize", {"protocolVersion": "2025-11-25"}, session=bearer(deployment.token("ann"))),
        legacy("ping", session=poor),
        legacy("notifications/cancelled", {"requestId": 1}, session=poor, id=None),
        post({"jsonrpc": "2.0", "id": "portside-1", "result": {}}, poor),
        post([{"jsonrpc": "2.0", "id": 1, "method": "ping"}], poor),
        get("/mcp", {**poor, "Accept": "text/event-stream"}),
        get("/mcp", poor, method="DELETE"),
    ):
        forbidden(await ask(server.port, request))
    assert (await ask(server.port, legacy("ping", session=session))).status == 200


async def test_one_forbidden_call_refuses_its_whole_batch(ruled: tuple[Serving, Deployment]) -> None:
    server, deployment = ruled
    session = await open_session(server.port, deployment.token("ann", "mcp"), BATCHES)
    remove = {"name": "remove", "arguments": {"text": "canary-batch"}}
    fine = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "fail", "arguments": {"text": "x"}}}
    bad = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": remove}
    for batch in ([bad], [fine, bad], [bad, fine], [fine, {**bad, "id": 1}]):
        forbidden(await ask(server.port, post(batch, session)), "notes:write")
    answers = (await ask(server.port, post([fine, {**fine, "id": 2}], session))).json
    assert [one["id"] for one in answers] == [1, 2]


def test_refusals_are_no_errors_of_ours(ruled: tuple[Serving, Deployment]) -> None:
    server, _ = ruled
    lines = [json.loads(line) for line in printed(server).splitlines() if line.startswith("{")]
    assert {line["outcome"] for line in lines if line.get("status") == 403} == {"refused"}
    assert [line for line in lines if line.get("status", 0) >= 500 and line["route"] == "/mcp"] == []
