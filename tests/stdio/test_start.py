"""What a command speaks is found out by asking it; one that speaks nothing stops the start and says why."""

import asyncio
import shutil
import sys
from dataclasses import replace

import pytest

from portside.errors import HostGone, StartFailed
from portside.hosting.stdio.backoff import Patience
from portside.hosting.stdio.spec import parse_command
from tests.stdio.driving import LEGACY, OPTIONS, SERVERS, Remembering, ask, hosting, record, session, spec, tool

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("era", "eras", "version"),
    [
        ("modern", ("modern",), "2"),
        ("legacy", ("legacy",), "1"),
        ("both", ("modern", "legacy"), "2"),
        ("silent", ("legacy",), "1"),
    ],
)
async def test_the_eras_of_a_command_are_found(era: str, eras: tuple[str, ...], version: str) -> None:
    async with hosting(spec(era), replace(OPTIONS, probe_timeout_s=0.5)) as host:
        found = host.description
        assert (found.name, found.version, found.eras) == ("plain", version, eras)
        await host.ping()


async def test_an_era_the_command_does_not_speak_cannot_be_opened() -> None:
    async with hosting(spec("legacy")) as host:
        with pytest.raises(HostGone, match="does not serve the modern era; it speaks legacy"):
            await host.open(None, Remembering())
    async with hosting(spec("modern")) as host:
        with pytest.raises(HostGone, match="does not serve the handshake; it speaks modern"):
            await host.open(record(), Remembering())


async def test_a_server_in_plain_shell_is_served() -> None:
    of = replace(spec(), name="shell", command=("/bin/sh", str(SERVERS / "shell.sh")))
    async with hosting(of) as host:
        assert host.description.eras == ("legacy",)
        reply = await (await session(host)).request(tool("hello"), Remembering(), LEGACY)
        assert (reply.result or {})["content"][0]["text"] == "hello"


async def test_a_missing_command_is_named() -> None:
    with pytest.raises(StartFailed, match="'no-such-program': cannot execute 'no-such-program': No such file"):
        async with hosting(replace(spec(), command=("no-such-program", "-y"))):
            pass


async def test_a_missing_folder_is_named() -> None:
    with pytest.raises(StartFailed, match="cannot enter the folder '/no/such': No such file"):
        async with hosting(replace(spec("modern"), folder=SERVERS.__class__("/no/such"))):
            pass


async def test_a_command_that_ends_is_told_with_its_exit_code_and_last_words() -> None:
    with pytest.raises(StartFailed) as failed:
        async with hosting(spec("dies")):
            pass
    assert "ended with exit code 7" in str(failed.value)
    assert "cannot find my configuration" in str(failed.value)


async def test_a_command_that_never_answers_is_given_up() -> None:
    options = replace(OPTIONS, probe_timeout_s=0.2, start_timeout_s=1.0)
    with pytest.raises(StartFailed, match="answered neither server/discover nor initialize in 1 s"):
        async with hosting(spec("mute"), options):
            pass


async def test_a_program_that_is_no_server_is_refused() -> None:
    with pytest.raises(StartFailed, match="is no MCP server that can be served"):
        async with hosting(replace(spec(), command=(shutil.which("true") or "true",))):
            pass


async def test_a_start_that_is_cancelled_leaves_nothing() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3), hosting(spec("mute")):
            pass


async def test_a_shared_child_that_keeps_crashing_is_left_alone() -> None:
    patience = Patience(first_s=0.01, max_starts=3, pause_s=100)
    async with hosting(spec("modern"), replace(OPTIONS, patience=patience)) as host:
        link = await host.open(None, Remembering())
        for _ in range(3):
            with pytest.raises(HostGone, match="exit code 9"):
                await ask(link, "crash", {"code": 9})
        with pytest.raises(HostGone, match="crash-looping, last: it ended with exit code 9; tried again in 100 s"):
            await _until_looping(link)
        with pytest.raises(HostGone, match="crash-looping"):
            await host.ping()


async def test_under_uvloop_all_of_it_works_too() -> None:
    code = (
        "import logging, uvloop; from tests.stdio import test_calls, test_ends, test_sessions\n"
        "logging.disable()\n"
        "async def main():\n"
        "    await test_calls.test_many_calls_share_one_child_and_each_gets_its_own_answer()\n"
        "    await test_calls.test_a_killed_child_ends_its_calls_with_the_reason_and_is_started_again()\n"
        "    await test_ends.test_closing_ends_what_the_server_started_also_in_sessions_of_its_own()\n"
        "    await test_ends.test_no_zombie_is_left()\n"
        "    await test_sessions.test_an_idle_child_is_closed_and_comes_back()\n"
        "uvloop.run(main())"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-W", "error", "-c", code, stderr=-1)
    try:
        _, errors = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, errors) == (0, b"")


def test_a_command_is_read_as_a_shell_would() -> None:
    assert parse_command("npx -y @scope/server '/a b'") == ("npx", "-y", "@scope/server", "/a b")
    with pytest.raises(StartFailed, match="cannot be read"):
        parse_command("echo 'unclosed")
    with pytest.raises(StartFailed, match="is empty"):
        parse_command("  ")


async def _until_looping(link: object) -> None:
    while True:
        try:
            await ask(link, "crash", {"code": 9})  # pyright: ignore[reportArgumentType]
        except HostGone as gone:
            if "exit code 9" in gone.message and "crash-looping" not in gone.message:
                continue
            raise
