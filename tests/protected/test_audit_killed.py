"""`kill -9` of the whole server under load, again and again: every call it answered is on record, and the log is sound.

Row E2 of the reliability bar, at the server; SOAK_KILLS=500 is the whole of it.
"""

import asyncio
import os
import random
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from tests.processes import Serving
from tests.protected.audited import Audited, Kind
from tests.protected.made import ask, bearer, call, connected, legacy, open_session, text_of

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(3600)]

TARGET: Final = "tests/protected/bare.py:app"
KILLS: Final = int(os.environ.get("SOAK_KILLS", "6"))
CALLERS: Final = 6


@pytest.mark.parametrize(("kind", "kills"), [("file", KILLS), ("database", max(2, KILLS // 5))])
async def test_no_answered_call_is_missing_after_a_kill(tmp_path: Path, kind: Kind, kills: int) -> None:
    """Verified as of the last server's life: in a database, nobody else can tell a killed writer from a cut one."""
    audited, chance = Audited.make(tmp_path, kind), random.Random(11)
    answered: set[str] = set()
    for _ in range(kills):
        with audited.deployment.serving(target=TARGET, stop=False, environment=audited.environment()) as server:
            answered |= await answered_until_killed(server, audited, chance.randrange(1, 300))
    with audited.deployment.serving(target=TARGET, environment=audited.environment()):
        as_of = datetime.now(UTC)  # its start has set aside what the last kill tore
    started = audited.started()
    assert answered - started == set()
    assert len(answered) > kills
    verified = audited.verify(as_of)
    assert verified.returncode == 0, verified.stdout
    writers = {entry["writer"] for entry in audited.entries()}
    assert len(writers) == kills + 1


async def answered_until_killed(server: Serving, audited: Audited, calls: int) -> set[str]:
    """Return the ids of all calls that were answered until the server was killed, after about so many of them."""
    answered: set[str] = set()
    token = audited.deployment.token("ann")
    session = await open_session(server.port, token)

    async def press(number: int) -> None:
        params = {"name": "echo", "arguments": {"text": "x"}}
        # One legacy caller alone: ids of one session must not be in use twice at a time.
        old, modern = legacy("tools/call", params, session=session), call("echo", {"text": "x"}, token=token)
        with suppress(OSError, asyncio.IncompleteReadError):  # it was killed
            async with connected(server.port) as connection:
                while True:
                    reply = await connection.ask(modern if number else old)
                    assert text_of(reply) == "x"
                    answered.add(reply.headers["x-request-id"])
                    if len(answered) >= calls and server.process.poll() is None:
                        server.process.kill()

    await asyncio.gather(*(press(number) for number in range(CALLERS)))
    await asyncio.to_thread(server.process.wait, 10)
    return answered


@pytest.mark.parametrize("kind", ["file", "database"])
async def test_an_entry_says_who_did_what_and_how_it_ended(tmp_path: Path, kind: Kind) -> None:
    audited = Audited.make(tmp_path, kind)
    deployment = audited.deployment
    with deployment.serving(environment=audited.environment()) as server:
        good = await ask(server.port, call("echo", {"text": "x", "password": "hunter2"}, token=deployment.token("ann")))
        bad = await ask(server.port, call("fail", {"text": "x"}, token=deployment.token("bob")), source="127.0.0.6")
        nobody = await ask(server.port, call("echo", {"text": "x"}))
        stranger = await ask(server.port, call("echo", {"text": "x"}, headers=bearer("x.y.z")))
    events = [entry["event"] for entry in audited.entries() if "event" in entry]

    def about(request: str) -> list[dict[str, object]]:
        return [one for one in events if one.get("what", {}).get("request") == request]

    started, ended = about(good.headers["x-request-id"])
    assert (started["outcome"], ended["outcome"]) == ("started", "ok")
    assert started["who"] == ended["who"]
    assert started["arguments"] == {"policy": "redacted", "size": 33, "value": {"password": "********", "text": "x"}}
    assert [one["outcome"] for one in about(bad.headers["x-request-id"])] == ["started", "tool_error"]
    assert {one["origin"] for one in about(bad.headers["x-request-id"])} == {"127.0.0.6"}
    for refused in (nobody, stranger):
        (entry,) = about(refused.headers["x-request-id"])
        assert entry["outcome"] == "refused"
        assert "who" not in entry
    assert [one["kind"] for one in events if one["kind"] in ("start", "stop")] == ["start", "stop"]
    assert audited.verify().returncode == 0
