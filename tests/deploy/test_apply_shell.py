"""Commands as children: heard line by line, ended with all of their group, and never waited for in vain."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from portside import shell
from portside.command import Command
from portside.deploy.veil import Veil

pytestmark = pytest.mark.anyio

HIDDEN = "********"


def script(text: str) -> Command:
    """Return a command that runs some Python."""
    return Command((sys.executable, "-ISc", text), "it has run")


async def heard(command: Command, folder: Path, timeout_s: float = 20) -> tuple[str | None, list[str]]:
    """Return how a command ended and every line it printed."""
    lines: list[str] = []
    failure = await shell.run(command, folder, timeout_s=timeout_s, hear=lines.append)
    return failure, lines


async def test_both_streams_are_heard_line_by_line(tmp_path: Path) -> None:
    text = "import sys; print('one', flush=True); print('two', file=sys.stderr, flush=True); print('three', end='')"
    assert await heard(script(text), tmp_path) == (None, ["one", "two", "three"])


async def test_lines_come_while_a_command_still_runs(tmp_path: Path) -> None:
    came = asyncio.Event()

    async def until_it_came() -> str:
        await came.wait()
        return "that is enough"

    hanging = script("import time; print('here', flush=True); time.sleep(600)")
    failure = await shell.run(
        hanging,
        tmp_path,
        timeout_s=60,
        hear=lambda line: came.set() if line == "here" else None,
        unless=until_it_came(),
    )
    assert failure == "that is enough"


@pytest.mark.parametrize(
    ("text", "why"), [("raise SystemExit(3)", "exit code 3"), ("import os; os.abort()", "SIGABRT")]
)
async def test_how_a_command_failed_is_said(text: str, why: str, tmp_path: Path) -> None:
    failure, _ = await heard(script(text), tmp_path)
    assert failure is not None
    assert failure.endswith(why)


async def test_what_cannot_be_run_at_all_has_not_been(tmp_path: Path) -> None:
    with pytest.raises(shell.NotStarted, match="no-such-program is not installed"):
        await heard(Command(("no-such-program",), "nothing"), tmp_path)
    with pytest.raises(shell.NotStarted, match="cannot be run in"):
        await heard(script("pass"), tmp_path / "absent")
    (tmp_path / "plain").write_text("text")
    with pytest.raises(shell.NotStarted, match="Permission denied"):
        await heard(Command((str(tmp_path / "plain"),), "nothing"), tmp_path)


async def test_a_command_that_will_not_end_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "GRACE_S", 0.2)
    text = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "child = os.fork(); print(os.getpid(), flush=True); time.sleep(600)"
    )
    failure, lines = await heard(script(text), tmp_path, timeout_s=1)
    assert failure == "not done after 1 s"
    assert len(lines) == 2
    await _are_gone([int(line) for line in lines])


async def test_a_caller_that_is_cancelled_leaves_nothing_behind(tmp_path: Path) -> None:
    lines: list[str] = []
    came = asyncio.Event()

    def hear(line: str) -> None:
        lines.append(line)
        came.set()

    hanging = script("import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    task = asyncio.ensure_future(shell.run(hanging, tmp_path, timeout_s=60, hear=hear))
    await came.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not _is_alive(int(lines[0]))


async def test_who_is_left_behind_with_the_pipe_is_not_waited_for(tmp_path: Path) -> None:
    text = "import os, time\nif os.fork() == 0:\n    os.setsid(); print(os.getpid(), flush=True); time.sleep(5)"
    failure, lines = await heard(script(text), tmp_path, timeout_s=60)
    assert failure is None
    assert len(lines) <= 1


async def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    failure, lines = await heard(script("print('x' * 3_000_000); print('after')"), tmp_path)
    assert (failure, [len(line) for line in lines]) == (None, [shell.LINE_LIMIT, 5])


async def test_what_a_terminal_would_obey_is_not_passed_on(tmp_path: Path) -> None:
    _, lines = await heard(script(r"print('\x1b]0;title\x07plain\rover\u202e')"), tmp_path)
    assert lines == ["?]0;title?plain", "over?"]


async def test_read_gives_what_was_printed_and_what_was_complained_of(tmp_path: Path) -> None:
    text = "import sys; print('{}'); print('denied', file=sys.stderr); raise SystemExit(1)"
    assert await shell.read(script(text), tmp_path, timeout_s=20) == ("exit code 1: denied", "{}")
    long = script("print('y' * 100_000)")
    assert await shell.read(long, tmp_path, timeout_s=20) == (None, "y" * 100_000)


async def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    await heard(script("pass"), tmp_path)
    before = _descriptors()
    for _ in range(5):
        await heard(script("print(1)"), tmp_path)
        with pytest.raises(shell.NotStarted):
            await heard(Command(("no-such-program",), "nothing"), tmp_path)
    assert _descriptors() == before


@pytest.mark.parametrize(
    ("known", "lines", "shown"),
    [
        (["0123456789abcdef"], ["key 0123456789abcdef!"], [f"key {HIDDEN}!"]),
        (["first-line\nsecond-line"], ["a first-line", "second-line"], [f"a {HIDDEN}", HIDDEN]),
        (["short"], ["short"], ["short"]),
        (
            [],
            ["x -----BEGIN PRIVATE KEY-----", "MIIEvQ", "-----END PRIVATE KEY-----", "after"],
            [HIDDEN, HIDDEN, HIDDEN, "after"],
        ),
        ([], ["postgresql://me:pass-word@db/x"], [f"postgresql://me:{HIDDEN}@db/x"]),
    ],
)
async def test_lines_are_shown_without_secrets(known: Sequence[str], lines: list[str], shown: list[str]) -> None:
    veil = Veil(known)
    assert [veil.line(line) for line in lines] == shown


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def _are_gone(pids: Sequence[int]) -> None:
    """Wait until processes that were killed have died, which the system does in its own time."""
    async with asyncio.timeout(20):
        while any(map(_is_alive, pids)):
            await asyncio.sleep(0.01)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
