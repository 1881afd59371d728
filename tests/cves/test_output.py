"""What leaves: streams, logs, errors and metrics that say no more than they should, and nothing of their readers'."""

import json
import os
import re
import sys

import pytest

from portside.hosting.stdio.spec import allowed
from tests.cves.stage import ENVIRONMENT, SECRET, ask, called, signed, text_of, token
from tests.hostile.stage import printed
from tests.journeys.raw import get
from tests.processes import Serving, portside

pytestmark = pytest.mark.anyio

CANARY = "canary-in-an-exception"


@pytest.mark.parametrize("ends", ["\n\n", "\r\n\r\n", "\r\r", "\u2028\u2029", "\x00\n\n"])
async def test_a_tools_words_stay_one_event(server: Serving, ends: str) -> None:
    """Events made up by line breaks in what a tool says (CWE-93)."""
    text = f'so{ends}event: message{ends}id: 9{ends}data: {{"jsonrpc":"2.0","id":1,"result":"forged"}}{ends}retry: 1'
    request = called("tell", {"text": text}).replace(b'"_meta": {', b'"_meta": {"progressToken": "t", ')
    request = re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % len(request.partition(b"\r\n\r\n")[2]), request)
    reply = await ask(server, request)
    assert [event.event for event in reply.events] == ["message", "message"]
    assert [message.get("method", "result") for message in reply.messages] == ["notifications/progress", "result"]
    assert text_of(reply) == text


@pytest.mark.parametrize("forged", ['\n{"event":"forged"}', '\r\n{"event":"forged"}', "\x1b[2Jforged", "\u2028forged"])
async def test_what_a_client_writes_stays_one_line_of_the_log(server: Serving, forged: str) -> None:
    """Lines made up in a log, and commands to the terminal that shows it (CWE-117, CWE-150; CVE-2020-7694)."""
    await ask(server, called("echo", {"text": "a"}, {"Mcp-Name": "echo", "User-Agent": "x"}))
    await ask(server, called(forged, {}, {"Mcp-Name": "=?base64?" + "?="}))
    quoted = "".join(f"%{byte:02x}" for byte in forged.encode())
    await ask(server, signed(get(f"/files/{quoted}")))
    lines = [json.loads(line) for line in printed(server).split("\n") if line]
    assert "forged" not in {line["event"] for line in lines}
    assert "\x1b" not in printed(server)


async def test_an_error_does_not_tell_what_went_wrong_inside(server: Serving) -> None:
    """Exceptions in answers (CWE-209)."""
    reply = await ask(server, signed(get("/boom")))
    assert reply.status == 500
    assert CANARY.encode() not in reply.body
    assert b"ValueError" not in reply.body


async def test_no_answer_names_what_runs_here(server: Serving) -> None:
    """Names and versions of software in answers (CWE-200)."""
    reply = await ask(server, called("echo", {"text": "a"}))
    assert not {"server", "x-powered-by", "via"} & set(reply.headers)


async def test_a_token_is_in_no_log_and_no_answer(server: Serving) -> None:
    """Credentials in logs (CWE-532)."""
    good, bad = token(), token(aud="https://other.example.com/mcp")
    replies = [await ask(server, signed(get("/files/a"), one)) for one in (good, bad)]
    assert [reply.status for reply in replies] == [200, 401]
    for text in (printed(server), *(f"{reply.headers}{reply.body!r}" for reply in replies)):
        assert good not in text
        assert bad not in text


@pytest.mark.parametrize("name", ["JWT_SECRET", "ENCRYPTION_KEY"])
async def test_hosted_code_does_not_find_our_secrets_in_its_environment(server: Serving, name: str) -> None:
    """Secrets in the environment of code that has no need of them (CWE-526)."""
    assert text_of(await ask(server, called("environment", {"name": name}))) == ""


async def test_a_child_gets_none_of_our_environment_but_what_it_needs() -> None:
    """Secrets handed on to child processes (CWE-526)."""
    target = f"stdio:{sys.executable} tests/stdio/servers/plain.py --eras modern"
    assert not set(ENVIRONMENT) & set(allowed({**os.environ, **ENVIRONMENT}))
    with portside(target, environment=ENVIRONMENT | {"CANARY": "canary"}) as running:
        reply = await ask(running, called("environment", {}))
    seen = json.loads(text_of(reply))
    assert "PATH" in seen
    assert not {"CANARY", *ENVIRONMENT} & set(seen)
    assert SECRET.hex() not in text_of(reply)


async def test_what_clients_make_up_makes_no_new_metric(server: Serving) -> None:
    """Metrics whose labels a client chooses (CWE-770; CVE-2022-21698, CVE-2023-45142)."""
    for number in range(30):
        await ask(server, called(f"invented{number}", {}))
        await ask(server, signed(get(f"/invented{number}", method=f"VERB{number}")))
    scraped = (await ask(server, signed(get("/metrics")))).body
    assert b"mcp_tool_executions_total" in scraped
    assert b"invented" not in scraped
    assert b"VERB" not in scraped
