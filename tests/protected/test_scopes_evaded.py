"""Ways around the rules that lead nowhere: the body alone decides, whatever stands around it and however it is said."""

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

import pytest

from tests.journeys.raw import META, post
from tests.processes import Serving
from tests.protected.made import (
    Deployment,
    ask,
    bearer,
    call,
    text_of,
)
from tests.protected.scoped import forbidden

pytestmark = pytest.mark.anyio

LIES: Final[Mapping[str, dict[str, str]]] = {
    "name of another tool": {"Mcp-Name": "echo"},
    "name in base64": {"Mcp-Name": "=?base64?ZWNobw==?="},
    "no name": {"Mcp-Name": ""},
    "another method": {"Mcp-Method": "tools/list"},
    "notification": {"Mcp-Method": "notifications/cancelled"},
    "legacy revision": {"MCP-Protocol-Version": "2025-11-25"},
    "unknown revision": {"MCP-Protocol-Version": "2099-01-01"},
    "method override": {"X-HTTP-Method-Override": "GET", "X-HTTP-Method": "GET", "X-Method-Override": "DELETE"},
    "scopes of the client's own": {"X-Scope": "notes:write", "X-Forwarded-User": "root", "X-Principal": "root"},
    "tool's own parameter": {"Mcp-Param-Text": "y"},
    "all at once": {"Mcp-Name": "echo", "Mcp-Method": "ping", "MCP-Protocol-Version": "2024-11-05"},
}


@pytest.mark.parametrize("headers", LIES.values(), ids=LIES)
async def test_a_header_that_disagrees_with_the_body_never_changes_the_verdict(
    ruled: tuple[Serving, Deployment], headers: dict[str, str]
) -> None:
    """Rows A7: a forbidden body stays forbidden, and an allowed one is not forbidden for what a header claims."""
    server, deployment = ruled
    token = deployment.token("ann", "mcp")
    forbidden(await ask(server.port, call("remove", {"text": "x"}, token=token, headers=headers)), "notes:write")
    swapped = {key: "remove" if value == "echo" else value for key, value in headers.items()}
    reply = await ask(server.port, call("echo", {"text": "x"}, token=token, headers=swapped))
    assert reply.status in (200, 400, 404)
    assert "removed" not in reply.body.decode()


async def test_no_way_to_write_a_name_runs_a_forbidden_tool_or_reads_a_forbidden_note(
    ruled: tuple[Serving, Deployment],
) -> None:
    server, deployment = ruled
    token = deployment.token("ann", "mcp")
    names = (
        "Remove",
        "REMOVE",
        "remove ",
        " remove",
        "remove\u0000",
        "r\u0435move",
        "\uff52emove",
        "remove/",
        "/remove",
    )
    for name in names:
        body = _body("tools/call", {"name": name, "arguments": {"text": "x"}})
        reply = await ask(server.port, post(body, _modern_headers("tools/call", name, token)))
        assert "removed" not in reply.body.decode(), name
        assert reply.status < 500, name
    uris = (
        "NOTE://private", "note:private", "note:///private", "note://private/", "note://private#", "note://private?",
        "note://x/../private", "note://%70rivate", "note://PRIVATE", "note://user@private", "note://private:80",
        " note://private", "note://private%00", "note://of/../private", "note://of/%2e%2e", "NOTE://of/ann",
        "note://OF/ann", "note://of//ann", "note://of/ann?", "note:of/ann",
    )  # fmt: skip
    for uri in uris:
        body = _body("resources/read", {"uri": uri})
        reply = await ask(server.port, post(body, _modern_headers("resources/read", uri, token)))
        assert '"private"' not in reply.body.decode(), uri
        assert "note of" not in reply.body.decode(), uri
        assert reply.status < 500, uri


async def test_a_name_given_twice_runs_nothing(ruled: tuple[Serving, Deployment]) -> None:
    server, deployment = ruled
    token = deployment.token("ann", "mcp")
    for first, last in (("echo", "remove"), ("remove", "echo")):
        body = json.dumps(_body("tools/call", {"name": "NAMES", "arguments": {"text": "x"}}))
        twice = body.replace('"name": "NAMES"', f'"name": "{first}", "name": "{last}"').encode()
        for headers in (_modern_headers("tools/call", first, token), _modern_headers("tools/call", last, token)):
            reply = await ask(server.port, post(twice, headers))
            assert reply.status in (400, 403)
            assert "removed" not in reply.body.decode()


async def test_a_question_is_not_answered_by_who_lost_the_right_to_the_tool(
    ruled: tuple[Serving, Deployment],
) -> None:
    server, deployment = ruled
    asked = {"text": "x"}
    first = await ask(server.port, call("ask", asked, token=deployment.token("ann", "mcp")))
    result = first.json["result"]
    (key,) = result["inputRequests"]
    answers = {key: {"action": "accept", "content": {"word": "mine"}}}
    more = {"requestState": result["requestState"], "inputResponses": answers}
    forbidden(await ask(server.port, call("ask", asked, token=deployment.token("ann"), params=more)))
    again = await ask(server.port, call("ask", asked, token=deployment.token("ann", "mcp"), params=more))
    assert text_of(again) == "x mine"


def _body(method: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}}


def _modern_headers(method: str, name: str, token: str) -> dict[str, str]:
    plain = name.isascii() and name.isprintable() and name == name.strip()
    encoded = name if plain else f"=?base64?{base64.b64encode(name.encode()).decode()}?="
    return {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method, "Mcp-Name": encoded, **bearer(token)}
