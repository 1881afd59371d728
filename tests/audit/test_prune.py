"""`portside audit prune`: what is old and good goes, what is left verifies, and the log says that it was pruned."""

import asyncio
import fcntl
import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result

from portside.audit import keys
from portside.audit.base import Sink
from portside.audit.sinks.file import FileSink
from portside.audit.sinks.records import RecordsSink
from portside.audit.writer import Writer
from portside.cli import exits
from portside.cli.audit import audit
from portside.clock import ManualClock
from portside.errors import PortsideError
from portside.records.connect import open_records
from tests.audit.kept import call

DAY_S: Final = 86_400


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(audit, [str(argument) for argument in arguments])


def prune(log: Path, *arguments: str | Path, older_than: str = "90d") -> Result:
    return run("prune", log / "log", "--older-than", older_than, "--signing-key", log / "key", *arguments)


def verified(log: Path, *where: str | Path) -> int:
    return run("verify", *(where or (log / "log",)), "--keys", log / "pinned").exit_code


def rows(log: Path, *where: str | Path) -> list[dict[str, Any]]:
    shown = run("tail", *(where or (log / "log",)), "-n", "1000", "--json").stdout
    return [json.loads(line) for line in shown.splitlines()]


def kinds(found: list[dict[str, Any]]) -> list[str]:
    return [row["event"]["kind"] for row in found if "event" in row]


async def write(sink: Sink, signer: keys.Signer, server_id: str, days_ago: int) -> None:
    """Keep five calls, all of that day."""
    clock = ManualClock(time.time() - days_ago * DAY_S)
    async with Writer(sink, signer, server_id=server_id, clock=clock) as one:
        for index in range(5):
            await one.append(call(f"tool-{index}"))
            clock.advance(1)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A folder with `log`, where web-1 wrote 200 days ago, web-2 100 and web-3 one, its `key`, and `pinned`."""
    (tmp_path / "pinned").write_text(run("init-key", tmp_path / "key").stdout)
    signer = keys.load(tmp_path / "key")
    for server_id, days in (("web-1", 200), ("web-2", 100), ("web-3", 1)):
        asyncio.run(write(FileSink(tmp_path / "log"), signer, server_id, days))
    return tmp_path


@pytest.fixture
def table(log: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same in a database."""
    url = f"sqlite:///{log / 'records.db'}"
    signer = keys.load(log / "key")

    async def fill() -> None:
        async with open_records(url) as store:
            for server_id, days in (("web-1", 200), ("web-2", 100), ("web-3", 1)):
                await write(RecordsSink(store.audit), signer, server_id, days)

    asyncio.run(fill())
    monkeypatch.setenv("PORTSIDE_DATABASE_URL", url)
    return log / "records.db"


def spoil(log: Path, server_id: str) -> None:
    file = next((log / "log").glob(f"audit.{server_id}.*"))
    file.write_bytes(file.read_bytes().replace(b"tool-3", b"tool-4"))


def contents(log: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (log / "log").iterdir()}


def test_old_entries_go_and_what_is_left_verifies_and_says_so(log: Path) -> None:
    assert verified(log) == exits.OK
    done = prune(log)
    assert (done.exit_code, [line.split()[0] for line in done.stdout.splitlines()]) == (exits.OK, ["pruned", "pruned"])
    left = rows(log)
    assert verified(log) == exits.OK
    assert [str(row["writer"]).partition(".")[0] for row in left if "anchor" in row] == ["web-1", "web-2"]
    assert kinds(left).count("call") == 5
    assert kinds(left)[-4:] == ["start", "audit.pruning", "audit.pruned", "stop"]


def test_what_was_pruned_is_not_pruned_again(log: Path) -> None:
    prune(log)
    before = contents(log)
    again = prune(log)
    assert (again.exit_code, again.stdout, "nothing to prune" in again.stderr) == (exits.OK, "", True)
    assert contents(log) == before


def test_the_age_decides(log: Path) -> None:
    done = json.loads(prune(log, "--json", older_than="150d").stdout)
    assert [writer.partition(".")[0] for writer in done["pruned"]] == ["web-1"]
    assert prune(log, older_than="300d").stdout == ""


def test_a_dry_run_says_what_would_go_and_changes_nothing(log: Path) -> None:
    before = contents(log)
    done = prune(log, "--dry-run")
    said = json.loads(prune(log, "--dry-run", "--json").stdout)
    assert (done.exit_code, done.stdout.count("would go")) == (exits.OK, 2)
    assert (said["dry_run"], len(said["pruned"]), said["kept"]) == (True, 2, {})
    assert contents(log) == before


def test_a_writer_that_does_not_verify_keeps_its_entries(log: Path) -> None:
    spoil(log, "web-1")
    done = prune(log, "--json")
    said = json.loads(done.stdout)
    assert done.exit_code == exits.PARTLY_DONE
    assert [writer.partition(".")[0] for writer in said["pruned"]] == ["web-2"]
    assert [(writer.partition(".")[0], why.split()[0]) for writer, why in said["kept"].items()] == [
        ("web-1", "altered")
    ]
    assert verified(log) == exits.CHECKS_FAILED


def test_where_nothing_verifies_nothing_changes(log: Path) -> None:
    for server_id in ("web-1", "web-2"):
        spoil(log, server_id)
    before = contents(log)
    assert prune(log).exit_code == exits.CHECKS_FAILED
    assert contents(log) == before


def test_another_key_than_the_logs_vouches_for_nothing_unless_the_logs_is_given_too(log: Path) -> None:
    run("init-key", log / "next", "--after", log / "key")
    arguments = ("prune", log / "log", "--older-than", "90d", "--signing-key", log / "next")
    assert run(*arguments).exit_code == exits.CHECKS_FAILED
    assert run(*arguments, "--keys", log / "pinned").exit_code == exits.OK
    assert verified(log) == exits.OK


def test_the_database_is_pruned_too(log: Path, table: Path) -> None:
    arguments = ("prune", "--database", "--older-than", "90d", "--signing-key", log / "key")
    assert run(*arguments, "--dry-run").stdout.count("would go") == 2
    assert verified(log, "--database") == exits.OK
    assert run(*arguments).exit_code == exits.OK
    left = rows(log, "--database")
    assert verified(log, "--database") == exits.OK
    assert ["anchor" in row for row in left[:2]] == [True, True]
    assert kinds(left)[-4:] == ["start", "audit.pruning", "audit.pruned", "stop"]


def test_an_act_that_fails_is_on_record_as_such(log: Path, table: Path) -> None:
    with closing(sqlite3.connect(table)) as database, database:
        database.execute("CREATE TRIGGER stays BEFORE DELETE ON portside_audit BEGIN SELECT it_stays(); END")
    done = run("prune", "--database", "--older-than", "90d", "--signing-key", log / "key")
    assert isinstance(done.exception, PortsideError)
    assert kinds(rows(log, "--database"))[-4:] == ["start", "audit.pruning", "audit.prune_failed", "stop"]
    assert verified(log, "--database") == exits.OK


def test_only_one_prunes_a_folder_at_a_time(log: Path) -> None:
    descriptor = os.open(log / "log", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        done = prune(log)
    finally:
        os.close(descriptor)
    assert (done.exit_code, "being pruned already" in done.stderr) == (exits.FAILED, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_folder_of_somebody_else_is_left_alone(log: Path) -> None:
    os.chown(log / "log", 65534, 65534)
    before = contents(log)
    done = prune(log)
    assert (done.exit_code, "belongs to user 65534" in done.stderr) == (exits.FAILED, True)
    assert contents(log) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("prune --older-than 90d --signing-key key", "which log"),
        ("prune log --signing-key key", "--older-than"),
        ("prune log --older-than 90 --signing-key key", "such as 30s"),
        ("prune log --older-than 90d", "PORTSIDE_AUDIT_KEY_PATH"),
    ],
)
def test_a_wrong_command_says_what_is_missing(
    log: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, said: str
) -> None:
    monkeypatch.delenv("PORTSIDE_AUDIT_KEY_PATH", raising=False)
    monkeypatch.chdir(log)
    done = run(*arguments.split())
    assert (done.exit_code, said in done.stderr) == (exits.USAGE, True)
