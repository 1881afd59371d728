"""Nothing of a child is left behind: not by stubborn servers, not by what they started, not by a killed portside."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from portside.errors import HostGone
from portside.hosting.stdio.spec import Limits, allowed
from tests.processes import ROOT
from tests.stdio.driving import LEGACY, SERVERS, Remembering, ask, children, hosting, is_alive, session, spec, until

pytestmark = pytest.mark.anyio


def command_line(pid: int) -> bytes:
    """Return what a list of processes shows of one."""
    return Path(f"/proc/{pid}/cmdline").read_bytes()


async def test_closing_ends_a_server_that_ignores_the_end_of_stdin_and_sigterm() -> None:
    async with hosting(spec("modern")) as host:
        pid = await ask(await host.open(None, Remembering()), "stubborn")
        assert is_alive(pid)
    assert not is_alive(pid)


async def test_closing_ends_what_the_server_started_also_in_sessions_of_its_own() -> None:
    async with hosting(spec("modern")) as host:
        started = await ask(await host.open(None, Remembering()), "fork")
        assert [is_alive(pid) for pid in started] == [True, True]
    assert [is_alive(pid) for pid in started] == [False, False]


async def test_a_crash_ends_what_the_server_started() -> None:
    async with hosting(spec("modern")) as host:
        link = await host.open(None, Remembering())
        started = await ask(link, "fork")
        with pytest.raises(HostGone):
            await ask(link, "crash", {"code": 1})
        await until(lambda: not any(map(is_alive, started)), f"{started} outlived their parent")


async def test_no_zombie_is_left() -> None:
    before = set(children(os.getpid()))
    async with hosting(spec("both")) as host:
        link = await host.open(None, Remembering())
        for _ in range(3):
            with pytest.raises(HostGone):
                await ask(link, "crash", {"code": 1})
        assert await ask(link, "echo") == {}
    assert set(children(os.getpid())) <= before


async def test_no_descriptor_is_left() -> None:
    async def once() -> None:
        async with hosting(spec("both")) as host:
            assert await ask(await host.open(None, Remembering()), "echo") == {}

    await once()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        await once()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_killed_portside_leaves_no_descendant(number: int) -> None:
    command = [sys.executable, "-m", "tests.stdio.driver", sys.executable, str(SERVERS / "plain.py"), "modern"]
    driver = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        assert driver.stdout is not None
        started: list[int] = json.loads(await asyncio.wait_for(driver.stdout.readline(), 20))
        keepers = children(driver.pid)
        assert len(keepers) == 1
        assert all(map(is_alive, [*started, *keepers]))
        driver.send_signal(number)
        await driver.wait()
        await until(lambda: not any(map(is_alive, [*started, *keepers])), f"{started} or {keepers} live", seconds=5)
    finally:
        if driver.returncode is None:
            driver.kill()
            await driver.wait()


async def test_a_killed_keeper_takes_its_child_along() -> None:
    before = set(children(os.getpid()))
    async with hosting(spec("modern")) as host:
        link = await host.open(None, Remembering())
        pid = (await ask(link, "where"))["pid"]
        (keeper,) = set(children(os.getpid())) - before
        os.kill(keeper, signal.SIGKILL)
        await until(lambda: not is_alive(pid), "the child outlived its keeper")
        with contextlib.suppress(HostGone):
            await ask(link, "echo")  # which may just reach the old one's pipe
        assert await ask(link, "echo") == {}


async def test_the_child_sees_only_the_environment_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTSIDE_ENCRYPTION_KEY", "secret")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("WANTED", "yes")
    given = allowed(os.environ, frozenset({"WANTED"}))
    async with hosting(spec("modern", environment=given)) as host:
        seen = await ask(await host.open(None, Remembering()), "environment")
    assert seen == given
    assert seen["WANTED"] == "yes"
    assert seen["LC_ALL"] == "C.UTF-8"
    assert "PORTSIDE_ENCRYPTION_KEY" not in seen


async def test_the_environment_shows_in_no_command_line() -> None:
    before = set(children(os.getpid()))
    async with hosting(spec("modern", environment={**allowed(os.environ), "TOKEN": "hush-hush"})):
        (keeper,) = set(children(os.getpid())) - before
        for pid in (keeper, *children(keeper)):
            assert b"hush-hush" not in command_line(pid)


async def test_folder_umask_and_limits_are_the_childs(tmp_path: Path) -> None:
    limits = Limits(address_space_bytes=4 << 30, open_files=123, cpu_s=77)
    async with hosting(replace(spec("modern"), folder=tmp_path, umask=0o027, limits=limits)) as host:
        link = await host.open(None, Remembering())
        where = await ask(link, "where")
        assert (where["folder"], where["umask"]) == (str(tmp_path), 0o027)
        assert where["session"] == where["pid"]
        assert await ask(link, "limits") == {"AS": 4 << 30, "NOFILE": 123, "CPU": 77}


async def test_closing_while_a_child_is_being_started_again_leaves_nothing() -> None:
    before = set(children(os.getpid()))
    async with hosting(spec("modern")) as host:
        link = await host.open(None, Remembering())
        (old,) = set(children(os.getpid())) - before
        with pytest.raises(HostGone):
            await ask(link, "crash", {"code": 1})
        await until(lambda: bool(set(children(os.getpid())) - before - {old}), "nothing was started")
    assert set(children(os.getpid())) <= before


async def test_closing_a_session_while_its_child_is_being_started_leaves_nothing() -> None:
    before = set(children(os.getpid()))
    async with hosting(spec("legacy")) as host:
        link = await session(host)
        with pytest.raises(HostGone):
            await ask(link, "crash", {"code": 1}, call=LEGACY)
        call = asyncio.create_task(ask(link, "echo", call=LEGACY))
        await until(lambda: not set(children(os.getpid())) <= before, "nothing was started")
        await link.close()
        with pytest.raises(HostGone):
            await call
        assert set(children(os.getpid())) <= before
        assert host.children == 0
