"""Whatever goes wrong in the middle of an apply: it ends, turns back or says what is left, and is on record."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from portside.deploy import history
from tests.deploy.applying import BACK, DOWN, ROLL, applied, deploy, project, records, stand_ins
from tests.deploy.standins import (
    CANARY,
    StandIns,
    another_image,
    containers,
    deployed,
    ended,
    path,
    running,
)
from tests.protected.audited import small_disk

__all__ = ["project", "stand_ins"]


def test_a_command_that_is_not_installed_is_named_and_nothing_is_done(project: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "portside", "deploy", "apply", "compose", "--yes"],
        cwd=project,
        env={"PATH": str(bare)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "docker is not installed" in done.stderr
    assert history.load(project / ".portside" / "history.jsonl").entries == ()
    assert not (project / "deploy" / "compose" / "compose.yaml").exists()


def test_where_what_runs_cannot_be_known_nothing_is_done(project: Path, stand_ins: StandIns) -> None:
    stand_ins.answer("ps", err=f"Cannot connect to the Docker daemon, {CANARY}-JWT_SECRET\n", code=1)
    _, err = deploy(project, stand_ins, "apply", "compose", "--yes", code=1)
    assert "Cannot connect to the Docker daemon, ********" in err
    assert stand_ins.commands == []
    assert records(project, stand_ins) == []


@pytest.mark.parametrize("failing", range(len(ROLL)))
def test_a_failure_at_any_step_goes_back(failing: int, project: Path, stand_ins: StandIns) -> None:
    applied(project, stand_ins)
    deployed(project, another_image())
    stand_ins.answer(*ROLL[failing].split(), code=1, times=1)
    deploy(project, stand_ins, "apply", "compose", "--yes", code=1)
    assert stand_ins.commands == [*ROLL[: failing + 1], BACK]
    assert records(project, stand_ins)[0]["outcome"] == "rolled_back"


def test_what_hangs_is_ended_at_the_deadline(project: Path, stand_ins: StandIns) -> None:
    stand_ins.answer("up", hangs=True)
    _, err = deploy(project, stand_ins, "apply", "compose", "--yes", "--deadline", "1", code=1)
    assert "not done after 1 s" in err
    assert stand_ins.commands[-1] == DOWN
    assert not any(stand_ins.is_running(call.pid) for call in stand_ins.calls)


def test_the_first_interruption_ends_the_command_and_goes_back(project: Path, stand_ins: StandIns) -> None:
    applied(project, stand_ins)
    deployed(project, another_image())
    stand_ins.answer("up", "server-2", hangs=True, times=1)
    with running(project, stand_ins, "apply", "compose", "--yes") as process:
        hanging = stand_ins.wait_for("up", "server-2")
        process.send_signal(signal.SIGINT)
        code, _, err = ended(process)
    assert (code, stand_ins.is_running(hanging.pid)) == (1, False)
    assert "interrupted by SIGINT" in err
    assert stand_ins.commands == [*ROLL[:4], BACK]
    assert records(project, stand_ins)[0]["outcome"] == "rolled_back"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_are_interruptions_too(number: signal.Signals, project: Path, stand_ins: StandIns) -> None:
    stand_ins.answer("up", hangs=True)
    with running(project, stand_ins, "apply", "compose", "--yes") as process:
        stand_ins.wait_for("up")
        process.send_signal(number)
        code, _, err = ended(process)
    assert (code, stand_ins.commands[-1]) == (1, DOWN)
    assert f"interrupted by {number.name}" in err


def test_a_second_interruption_ends_at_once_and_says_what_is_left(project: Path, stand_ins: StandIns) -> None:
    applied(project, stand_ins)
    deployed(project, another_image())
    stand_ins.answer("up", "server-1", code=1, times=1)
    stand_ins.answer("up", "--remove-orphans", hangs=True)
    with running(project, stand_ins, "apply", "compose", "--yes") as process:
        hanging = stand_ins.wait_for("up", "--remove-orphans")
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        if not _is_over(process):
            process.send_signal(signal.SIGINT)
        code, _, err = ended(process)
    assert (code, stand_ins.is_running(hanging.pid)) == (130, False)
    assert "not rolled back" in err
    assert f"portside deploy:   {BACK}" in err
    assert records(project, stand_ins)[0]["outcome"] == "failed"


def _is_over(process: subprocess.Popen[str]) -> bool:
    """Return whether a process ends soon: two signals of one kind that come close together may be one."""
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        return False
    return True


def test_who_dies_in_the_middle_leaves_no_lock_and_no_doubt(project: Path, stand_ins: StandIns) -> None:
    applied(project, stand_ins)
    stand_ins.answer("up", "server-1", hangs=True, times=1)
    with running(project, stand_ins, "apply", "compose", "--yes") as process:
        stand_ins.wait_for("up", "server-1")
        process.kill()
        process.wait()
    assert records(project, stand_ins)[0]["outcome"] == "unknown"
    out, _ = deploy(project, stand_ins, "apply", "compose", "--yes")
    assert "has no end: what is in force now is not known" in out
    assert records(project, stand_ins)[0]["outcome"] == "applied"


def test_two_at_once_are_refused_and_told_who_applies(project: Path, stand_ins: StandIns) -> None:
    stand_ins.answer("up", hangs=True, times=1)
    with running(project, stand_ins, "apply", "compose", "--yes") as process:
        stand_ins.wait_for("up")
        _, err = deploy(project, stand_ins, "apply", "compose", "--yes", code=1)
        assert f"locked: apply to compose by process {process.pid} on " in err
        assert "since 20" in err
        out, _ = deploy(project, stand_ins, "apply", "compose", "--dry-run")
        assert "has no end" in out
    deploy(project, stand_ins, "apply", "compose", "--yes")


def test_what_has_changed_since_the_plan_was_shown_is_not_applied(project: Path, stand_ins: StandIns) -> None:
    with asked(project, stand_ins) as (terminal, process):
        _until(terminal, b"Apply this?")
        deployed(project, another_image())
        os.write(terminal, b"y\n")
        said = _until(terminal, b"look at it again")
        assert process.wait(20) == 1
    assert b"have changed since the plan was shown" in said
    assert stand_ins.commands == []


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"n\n", 1), (b"\n", 1)])
def test_on_a_terminal_it_asks(answer: bytes, code: int, project: Path, stand_ins: StandIns) -> None:
    with asked(project, stand_ins) as (terminal, process):
        _until(terminal, b"Apply this?")
        assert stand_ins.commands == []
        os.write(terminal, answer)
        _until(terminal, b"applied: " if code == 0 else b"nothing was done")
        assert process.wait(20) == code
    assert bool(stand_ins.commands) is (code == 0)


@contextmanager
def asked(project: Path, stand_ins: StandIns) -> Generator[tuple[int, "subprocess.Popen[bytes]"]]:
    """Run `deploy apply compose` on a terminal for the block."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "portside", "deploy", "apply", "compose"],
        cwd=project,
        env={"PATH": path(stand_ins), "TERM": "dumb"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield ours, process
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _until(terminal: int, text: bytes) -> bytes:
    """Read from a terminal until a text comes; the test's own time-out ends the wait."""
    said = b""
    while text not in said:
        said += os.read(terminal, 4096)
    return said


def test_a_full_disk_at_the_beginning_keeps_everything_as_it_is(project: Path, stand_ins: StandIns) -> None:
    with small_disk(project / ".portside", "16k"):
        (project / ".portside" / ".gitignore").write_text("*\n")
        (project / ".portside" / "ballast").write_bytes(b"x" * 4096 * 2)
        _, err = deploy(project, stand_ins, "apply", "compose", "--yes", code=1)
        assert "No space left on device" in err
        assert stand_ins.commands == []
    assert not (project / "deploy" / "compose" / "compose.yaml").exists()


def test_a_full_disk_at_the_end_is_told_and_the_history_stays_whole(project: Path, stand_ins: StandIns) -> None:
    with small_disk(project / ".portside", "256k"):
        stand_ins.answer("up", hangs=True, times=1)
        with running(project, stand_ins, "apply", "compose", "--yes") as process:
            hanging = stand_ins.wait_for("up")
            file = project / ".portside" / "history.jsonl"
            # Ten bytes are left in the file's last block: some of the line can be written, and must not stay.
            with file.open("ab") as stream:
                stream.write(b" " * (-file.stat().st_size % 4096 - 11) + b"\n")
            before = file.read_bytes()
            _fill(project / ".portside" / "ballast")
            os.kill(hanging.pid, signal.SIGKILL)
            code, _, err = ended(process)
        assert (code, file.read_bytes()) == (6, before)
        assert "its end is not on record" in err
        assert "No space left on device" in err
        (project / ".portside" / "ballast").unlink()
        stand_ins.answer("ps", out=containers())
        assert records(project, stand_ins)[0]["outcome"] == "unknown"
        deploy(project, stand_ins, "apply", "compose", "--yes")


def _fill(file: Path) -> None:
    with file.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(b"x" * 4096)
        except OSError:
            return
