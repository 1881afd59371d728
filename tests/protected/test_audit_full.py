"""A full disk under the audit log: calls are refused, reading goes on, and all is well once there is room again."""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from tests.journeys.raw import Reply, get
from tests.processes import Serving
from tests.protected.audited import Audited, Kind, small_disk
from tests.protected.made import Deployment, ask, call, legacy, modern, open_session, text_of, unforeseen

pytestmark = pytest.mark.anyio

NOT_RECORDED: Final = -31008
DEADLINE_S: Final = 20.0


@pytest.mark.parametrize("kind", ["file", "database"])
async def test_a_full_disk_stops_calls_that_cannot_be_put_on_record_and_nothing_else(
    tmp_path: Path, kind: Kind
) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        audited = Audited.make(tmp_path, kind, disk)
        deployment = audited.deployment
        with deployment.serving(environment=audited.environment()) as server:
            token = deployment.token("ann")
            session = await open_session(server.port, token)
            assert text_of(await ask(server.port, call("run_counted", {}, token=token))) == "1"
            ran = 1 + await _fill(server, deployment, disk)
            await _status(server, "/ready", 503)
            assert (await ask(server.port, get("/ready"))).json["reason"] == "failed: audit"
            assert (await ask(server.port, get("/health"))).status == 200
            for request in (
                call("run_counted", {}, token=token, id="m"),
                legacy("tools/call", {"name": "run_counted", "arguments": {}}, session=session, id="m"),
            ):
                _refused(await ask(server.port, request))
            for request in (
                modern("tools/list", token=token),
                modern("resources/read", {"uri": "note://public"}, token=token),
                legacy("ping", session=session),
                legacy("prompts/get", {"name": "open_prompt"}, session=session),
            ):
                assert (await ask(server.port, request)).status == 200
            (disk / "filler").unlink()
            assert text_of(await _answered(server, call("run_counted", {}, token=token))) == str(ran + 1)
            await _status(server, "/ready", 200)
            assert unforeseen(server) == []
        verified = audited.verify()
        assert verified.returncode == 0, verified.stdout


async def test_in_open_mode_calls_go_on_and_the_log_says_what_is_missing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        audited = Audited.make(tmp_path, "file", disk)
        deployment = audited.deployment
        environment = audited.environment(PORTSIDE_AUDIT_MODE="open")
        with deployment.serving(environment=environment) as server:
            token = deployment.token("ann")
            _fill_up(disk)
            replies = [await ask(server.port, call("echo", {"text": "x" * 3000}, token=token)) for _ in range(20)]
            assert {reply.status for reply in replies} == {200}
            assert (await ask(server.port, get("/ready"))).status == 200
            assert "audit.not_recorded" in server.printed()
            (disk / "filler").unlink()
            reply = await ask(server.port, call("echo", {"text": "x"}, token=token))
            while reply.headers["x-request-id"] not in audited.started():
                reply = await ask(server.port, call("echo", {"text": "x"}, token=token))
        assert audited.verify().returncode == 0


async def _fill(server: Serving, deployment: Deployment, disk: Path) -> int:
    """Fill the disk, and call until a call is refused; return how many of them ran."""
    _fill_up(disk)
    ran = 0
    async with asyncio.timeout(DEADLINE_S):
        while True:
            request = call("run_counted", {"text": "x" * 3000}, token=deployment.token("filling"))
            reply = await ask(server.port, request)
            if reply.status != 200:
                _refused(reply)
                return ran
            ran += 1


def _fill_up(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as filler:
        try:
            while filler.write(b"\0" * 4096) == 4096:
                pass
        except OSError:
            return  # full, as it should be


def _refused(reply: Reply) -> None:
    assert reply.status == 503
    assert reply.json["error"]["code"] == NOT_RECORDED
    assert int(reply.headers["retry-after"]) >= 1


async def _status(server: Serving, path: str, wanted: int) -> None:
    """Return once a path answers so: checks are remembered for a second."""
    async with asyncio.timeout(DEADLINE_S):
        while (await ask(server.port, get(path))).status != wanted:
            await asyncio.sleep(0.02)


async def _answered(server: Serving, request: bytes) -> Reply:
    async with asyncio.timeout(DEADLINE_S):
        while (reply := await ask(server.port, request)).status != 200:
            _refused(reply)
            await asyncio.sleep(0.02)
        return reply
