"""The life of a fleet: begun, looked at, damaged, left alone, taken over, ended."""

import asyncio
import json
import os
import signal
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from portside.fleet import process
from portside.fleet.record import load, processes_of
from tests.faults.judge import Outcome
from tests.faults.load import load as load_of
from tests.faults.report import Plan
from tests.fleet.fleets import Fleet, fleet
from tests.fleet.on_record import Log
from tests.journeys.raw import Connection, call
from tests.processes import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.timing]


async def whoami(port: int, times: int) -> set[str]:
    """Return the names of the replicas that answered."""
    names: set[str] = set()
    for _ in range(times):
        connection = await Connection.open(port)
        reply = await connection.ask(call("whoami"))
        names.add(json.loads(reply.json["result"]["content"][0]["text"])["replica"])
        connection.close()
    return names


async def test_a_fleet_is_begun_damaged_abandoned_taken_over_and_ended() -> None:
    with fleet() as running:
        running.up("--replicas", "2")

        # Every replica answers through the front, and the status says so.
        assert await whoami(running.port, 8) == {"server-1", "server-2"}
        table = running.ask("status")
        assert table.returncode == 0
        assert table.stdout.count("serving") == 2
        status = json.loads(running.ask("status", "--json").stdout)
        assert [one["state"] for one in status["replicas"]] == ["serving"] * 2

        assert_secrets_are_kept(running, status)

        # One that is killed comes back, and meanwhile the others serve.
        before = running.pids()
        async with asyncio.TaskGroup() as group:
            ended = asyncio.Event()
            plan = Plan(rate=50, seconds=60, legacy=0, stream_s=0.5)
            sending = group.create_task(load_of([running.port], plan, until=ended))
            os.kill(before["server-2"] or 0, signal.SIGKILL)
            await asyncio.to_thread(
                running.wait, lambda: is_back(running.status(), before["server-2"]), "server-2 is back"
            )
            ended.set()
        # What it was just running is lost, and nothing is sent twice to hide that.
        report = sending.result()
        assert report.failed < 10 < report.outcomes[Outcome.OK], f"{report}\n{running.printed()}"
        assert running.effects.twice() == []
        assert await whoami(running.port, 8) == {"server-1", "server-2"}
        assert running.status()["replicas"][1]["restarts"] == 1

        # The supervisor is killed: everything goes on, and the next one takes it over as it is.
        before = running.pids()
        assert running.supervisor is not None
        running.supervisor.kill()
        running.supervisor.wait()
        left = running.ask("status")
        assert left.returncode == 5
        assert "nobody looks after it" in left.stdout
        assert running.ask("scale", "3").returncode == 1
        assert await whoami(running.port, 8) == {"server-1", "server-2"}
        proxy_pid, redis_pid = status["proxy_pid"], status["redis_pid"]
        running.up()
        assert running.pids() == before
        assert (running.status()["proxy_pid"], running.status()["redis_pid"]) == (proxy_pid, redis_pid)
        again = running.run(*running.arguments()[1:])
        assert again.returncode == 3
        assert "has a supervisor already" in again.stderr

        # Ended: no process, no socket, and it may be said twice.
        recorded = load(running.folder)
        assert recorded is not None
        done = running.ask("down")
        assert done.returncode == 0, done.stderr
        assert running.supervisor.wait(20) == 0
        everything = [*processes_of(recorded).values(), recorded.proxy, recorded.redis]
        assert [one for one in everything if one is not None and process.is_alive(one)] == []
        assert left_over(running) == []
        assert running.ask("down").returncode == 0
        assert running.ask("status").returncode == 1


def assert_secrets_are_kept(running: Fleet, status: dict[str, Any]) -> None:
    """Check that nothing secret can be read by others, or stands on a command line."""
    folder = running.folder
    assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700
    for file in (folder.key, folder.redis_conf, folder.redis_password, folder.state, folder.control):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    password = folder.secret(folder.redis_password)
    for pid in (status["redis_pid"], *running.pids().values()):
        assert password.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert password not in folder.state.read_text(encoding="utf-8")


def left_over(running: Fleet) -> list[str]:
    """Return the sockets, and what says that something runs, in the fleet's folder."""
    folder = running.folder
    return [file.name for file in folder.root.iterdir() if file.is_socket() or file == folder.state]


def is_back(status: dict[str, Any], former: int | None) -> bool:
    """Whether the second replica serves again, as another process."""
    second = status["replicas"][1]
    return second["state"] == "serving" and second["is_in_use"] and second["pid"] != former


@pytest.mark.parametrize("proxy", ["haproxy", "nginx"])
def test_proxy_and_redis_come_back_when_they_are_killed(proxy: str) -> None:
    with fleet(proxy) as running:
        running.up("--replicas", "1")
        before = running.status()
        killed = (before["proxy_pid"], before["redis_pid"])
        for pid in killed:
            os.kill(pid, signal.SIGKILL)

        def are_back() -> bool:
            now = running.status()
            return now["is_as_wanted"] and {now["proxy_pid"], now["redis_pid"]}.isdisjoint({*killed, None})

        running.wait(are_back, "proxy and Redis are back")
        with socket.create_connection(("127.0.0.1", running.port), timeout=5):
            pass


def test_an_abandoned_fleet_is_ended_without_a_supervisor_and_ctrl_c_ends_a_watched_one(tmp_path: Path) -> None:
    log = Log(tmp_path)
    with fleet(**log.environment) as running:
        running.up("--replicas", "1")
        recorded = load(running.folder)
        assert running.supervisor is not None
        assert recorded is not None
        running.supervisor.kill()
        running.supervisor.wait()
        assert running.ask("down").returncode == 0
        assert not any(process.is_alive(one) for one in processes_of(recorded).values())
        assert not running.folder.control.exists()

        running.up("--replicas", "1")
        recorded = load(running.folder)
        running.supervisor.send_signal(signal.SIGINT)
        assert running.supervisor.wait(20) == 0, running.printed()
        assert recorded is not None
        assert not any(process.is_alive(one) for one in processes_of(recorded).values())
        began, ended = ("fleet.up", "started"), ("fleet.up", "ok")
        assert log.acts() == [began, ("fleet.down", "started"), ("fleet.down", "ok"), began, ended]


def test_a_detached_fleet_serves_when_the_command_returns_and_stops_rolling_at_what_is_broken(tmp_path: Path) -> None:
    broken, log = tmp_path / "broken", Log(tmp_path)
    with fleet(COUNTING_BROKEN=str(broken), **log.environment) as running:
        done = running.run(*running.arguments("--replicas", "2", "--detach")[1:])
        assert done.returncode == 0, done.stderr + running.printed()
        status = running.status()
        assert status["is_as_wanted"]
        assert status["supervisor"]

        # The roll stops at the first that does not become ready; the other is as it was.
        before = running.pids()
        broken.touch()
        rolled = running.ask("roll")
        assert rolled.returncode == 1
        assert "the roll has stopped, the other replicas are as they were: server-1" in rolled.stderr
        assert running.pids()["server-2"] == before["server-2"]

        # What keeps failing is told, with its own last words.
        running.wait(lambda: running.status()["replicas"][0]["state"] == "crash loop", "the crash loop is seen")
        table = running.ask("status")
        assert table.returncode == 5
        assert "broken on purpose" in table.stdout

        # Mended, it comes back by itself.
        broken.unlink()
        running.wait(lambda: running.status()["is_as_wanted"] is True, "it is mended")
        assert running.ask("down").returncode == 0
        assert [act for act in log.acts() if act[0] != "fleet.up"] == [
            ("fleet.roll", "started"),
            ("fleet.roll", "error"),
            ("fleet.down", "started"),
            ("fleet.down", "ok"),
        ]


def test_a_replica_that_hangs_is_replaced_and_one_that_never_serves_ends_the_fleet(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    with fleet(COUNTING_BROKEN=str(broken)) as running:
        broken.touch()
        done = running.run(*running.arguments("--replicas", "1")[1:])
        assert done.returncode == 3
        assert "broken on purpose" in done.stderr
        assert running.ask("status").returncode == 1

        broken.unlink()
        running.up("--replicas", "2", "--silent-timeout", "2")
        hung = running.pids()["server-2"]
        os.kill(hung or 0, signal.SIGSTOP)
        running.wait(lambda: is_back(running.status(), hung), "the one that hangs is replaced")
        assert "silent for" in running.status()["replicas"][1]["failed"]


def test_what_would_be_done_is_told_without_doing_it() -> None:
    with fleet() as running:
        done = running.run(*running.arguments("--replicas", "2", "--dry-run")[1:])
        assert done.returncode == 0
        assert done.stdout.count("would keep server-") == 2
        assert not running.folder.root.exists()
        assert running.ask("roll", "--dry-run").returncode == 1


def test_wrong_wishes_are_told_by_name() -> None:
    with fleet() as running:
        too_few = running.run(*running.arguments("--replicas", "0")[1:])
        assert (too_few.returncode, "--replicas" in too_few.stderr) == (2, True)
        too_many = running.run(*running.arguments("--replicas", "20")[1:])
        assert too_many.returncode == 2
        assert "--replicas 20: expected at most 16 (--max-replicas)" in too_many.stderr
        with socket.socket() as other:
            other.bind(("127.0.0.1", running.port))
            other.listen()
            taken = running.run(*running.arguments()[1:])
        assert taken.returncode == 3
        assert f"cannot listen on 127.0.0.1:{running.port}: it is taken" in taken.stderr
        missing = running.run("up", "--port", str(free_port()), "--dir", str(running.folder.root))
        assert (missing.returncode, "nothing to serve" in missing.stderr) == (3, True)
        nobody = running.ask("roll")
        assert (nobody.returncode, "no fleet runs" in nobody.stderr) == (1, True)
        assert running.ask("status").returncode == 1


def test_a_program_that_is_missing_is_named_with_how_to_install_it(tmp_path: Path) -> None:
    with fleet(PATH=str(tmp_path)) as running:
        done = running.run(*running.arguments()[1:])
        assert done.returncode == 3
        assert "redis-server is not installed" in done.stderr
        assert "apt install redis-server" in done.stderr
