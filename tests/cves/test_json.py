"""Messages: what is read in two ways, grows without bound, or says one thing in the head and another in the body."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from portside.wire import schema
from portside.wire.schema import NotCheckable
from tests.cves.stage import MODERN, ask, called, signed, text_of
from tests.hostile.attack import dialled
from tests.journeys.raw import post
from tests.processes import Serving

pytestmark = pytest.mark.anyio


async def test_a_member_that_comes_twice_is_refused(server: Serving) -> None:
    """Duplicate members, of which one reader takes the first and another the last (CWE-436; CVE-2017-12635)."""
    body = b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}'
    assert (await ask(server, signed(post(body)))).json["error"]["code"] == -32700


async def test_deep_nesting_is_refused(server: Serving) -> None:
    """Recursion without bound (CWE-674; CVE-2025-52999)."""
    body = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert (await ask(server, signed(post(body)))).json["error"]["code"] == -32700


async def test_a_number_of_a_million_digits_is_refused(server: Serving) -> None:
    """Conversion of long numbers in quadratic time (CWE-407; CVE-2020-10735)."""
    body = b'{"jsonrpc":"2.0","method":"ping","id":' + b"9" * 1_000_000 + b"}"
    assert (await ask(server, signed(post(body)))).status == 400


async def test_a_bad_request_is_not_answered_with_a_larger_one(server: Serving) -> None:
    """A report on every one of many wrong values (CWE-405)."""
    request = called("add", {"values": ["x"] * 100_000})
    assert len((await ask(server, request)).body) < 65_536


async def test_names_that_mean_something_to_a_language_mean_nothing_here(server: Serving) -> None:
    """Prototype pollution and class pollution (CWE-1321, CWE-915; CVE-2019-10744)."""
    evil: dict[str, Any] = {
        "__proto__": {"is_admin": True},
        "constructor": {"prototype": {}},
        "__class__": {"__init__": 1},
    }
    assert '"__proto__"' in text_of(await ask(server, called("echo_any", {"value": evil})))
    again = await ask(server, called("privileged", {}))
    assert again.status == 403


@pytest.mark.parametrize("params", [None, [], "x", {"name": 1}, {"name": None}, {"name": "echo", "arguments": []}])
async def test_a_malformed_call_harms_nobody_else(server: Serving, params: object) -> None:
    """A failure to read one message that ends the server (CWE-248; CVE-2025-53366)."""
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    assert 400 <= (await ask(server, signed(post(body, MODERN)))).status < 500
    assert (await ask(server, called("echo", {"text": "well"}))).status == 200


async def test_bytes_that_are_no_text_harm_nobody(server: Serving) -> None:
    """Invalid UTF-8 that ends the server (CWE-248)."""
    body = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"\xff\xfe"}}'
    assert (await ask(server, signed(post(body)))).json["error"]["code"] == -32700
    assert (await ask(server, called("echo", {"text": "well"}))).status == 200


async def test_a_client_that_leaves_in_the_middle_harms_nobody(server: Serving) -> None:
    """A connection lost in the middle of a call that ends the server (CWE-248; CVE-2025-53365)."""
    for _ in range(20):
        async with dialled(server.port) as connection:
            connection.send(called("tell", {"text": "a"}))
            await connection.writer.drain()
    assert (await ask(server, called("echo", {"text": "well"}))).status == 200


@pytest.mark.parametrize(
    "headers", [{"Mcp-Name": "echo"}, {"Mcp-Method": "tools/list"}, {"MCP-Protocol-Version": "2025-11-25"}]
)
async def test_a_head_that_contradicts_the_body_is_refused(server: Serving, headers: dict[str, str]) -> None:
    """Rules applied to a header while the body says what is done (CWE-436)."""
    reply = await ask(server, called("add", {"values": [1]}, headers))
    assert reply.status == 400
    assert reply.json["error"]["code"] == -32020


async def test_a_right_is_judged_by_the_body(server: Serving) -> None:
    """A call let through by the name in its head (CWE-863)."""
    assert (await ask(server, called("privileged", {}, {"Mcp-Name": "echo"}))).status == 403


async def test_a_pattern_takes_linear_time() -> None:
    """Patterns of a schema that take exponentially long (CWE-1333; CVE-2026-0621)."""
    checker = schema.compile({"properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}})
    assert not checker.is_valid({"a": "a" * 100_000 + "!"})


async def test_a_schema_fetches_nothing() -> None:
    """References of a schema that lead into the network (CWE-918)."""
    asked: list[asyncio.StreamWriter] = []
    listener = await asyncio.start_server(lambda _, writer: asked.append(writer), "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(NotCheckable):
            await asyncio.to_thread(schema.compile, {"$ref": f"http://127.0.0.1:{port}/schema.json"})
    assert asked == []


DOUBLING = """
import resource
from portside.wire import schema

resource.setrlimit(resource.RLIMIT_CPU, (3, 3))
steps = {f"s{n}": {"allOf": [{"$ref": f"#/$defs/s{n + 1}"}] * 2} for n in range(40)}
try:
    schema.compile({"$ref": "#/$defs/s0", "$defs": {**steps, "s40": {"type": "object"}}}).is_valid({})
except schema.NotCheckable:
    print("refused")
"""


def test_references_that_multiply_are_refused_or_followed_once() -> None:
    """A small schema that takes exponentially long to check by (CWE-776)."""
    done = subprocess.run([sys.executable, "-c", DOUBLING], capture_output=True, check=False)
    assert done.returncode == 0  # else its three seconds of CPU were not enough
