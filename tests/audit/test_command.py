"""`portside audit` as its user meets it."""

import json
import stat
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner, Result

from portside.audit import keys
from portside.audit.base import AuditKeyInvalid
from portside.audit.sinks.file import FileSink
from portside.audit.sinks.records import RecordsSink
from portside.audit.sinks.stdout import StreamShip
from portside.audit.writer import Writer
from portside.cli import exits
from portside.cli.audit import audit
from portside.cli.audit_log import DATABASE_VARIABLES
from portside.clock import SystemClock
from portside.records.connect import open_records
from tests.audit.kept import call


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(audit, [str(argument) for argument in arguments])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A folder with `log`, its `key`, `shipped` checkpoints and the public key in `pinned`."""
    (tmp_path / "pinned").write_text(run("init-key", tmp_path / "key").stdout)

    async def write() -> None:
        with (tmp_path / "shipped").open("wb") as shipped:
            signer = keys.load(tmp_path / "key")
            sink = FileSink(tmp_path / "log")
            async with Writer(sink, signer, server_id="web-1", clock=SystemClock(), ship=StreamShip(shipped)) as one:
                for index in range(20):
                    await one.append(call(f"tool-{index}\x1b[31m"))

    anyio.run(write)
    return tmp_path


def change(log: Path) -> None:
    file = next((log / "log").iterdir())
    file.write_bytes(file.read_bytes().replace(b"tool-7", b"tool-8"))


def test_init_key_makes_a_key_only_its_owner_reads_and_prints_the_public_one(tmp_path: Path) -> None:
    done = run("init-key", tmp_path / "key", "--json")
    assert json.loads(done.stdout)["public"] == keys.written(keys.load(tmp_path / "key").public)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_init_key_overwrites_nothing(log: Path) -> None:
    assert isinstance(run("init-key", log / "key").exception, AuditKeyInvalid)


def test_a_key_others_may_read_is_refused(log: Path) -> None:
    (log / "key").chmod(0o644)
    with pytest.raises(AuditKeyInvalid, match="mode 0644, expected 0600"):
        keys.load(log / "key")


@pytest.mark.parametrize("text", ["", "{}", "x", '{"private":"00"}'])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key"
    file.touch(0o600)
    file.write_text(text)
    with pytest.raises(AuditKeyInvalid, match="expected a signing key"):
        keys.load(file)


@pytest.mark.parametrize("text", ["", "ed25519:", "ed25519:zz", "ed25519:" + "0" * 62])
def test_a_public_key_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(AuditKeyInvalid, match="64 hex digits"):
        keys.pinned(text)


def test_a_good_log_verifies_with_exit_code_0(log: Path) -> None:
    done = run("verify", log / "log", "--keys", log / "pinned", "--witness", log / "shipped")
    assert (done.exit_code, done.stdout.splitlines()[-1].partition(",")[0]) == (exits.OK, "sound: 22 entries")


def test_a_changed_log_is_exit_code_5_and_says_where(log: Path) -> None:
    change(log)
    done = run("verify", log / "log", "--keys", log / "pinned", "--json")
    report = json.loads(done.stdout)
    assert (done.exit_code, report["is_sound"]) == (exits.CHECKS_FAILED, False)
    assert [(one["kind"], one["first"], one["last"]) for one in report["findings"]] == [("altered", 9, 9)]


def test_a_log_cut_back_is_found_by_what_was_shipped(log: Path) -> None:
    file = next((log / "log").iterdir())
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-5]))
    pinned = ("--keys", log / "pinned")
    assert run("verify", log / "log", *pinned).exit_code == exits.OK  # it might still be written
    assert run("verify", log / "log", *pinned, "--witness", log / "shipped").exit_code == exits.CHECKS_FAILED
    assert run("verify", log / "log", *pinned, "--as-of", "2999-01-01T00:00Z").exit_code == exits.CHECKS_FAILED


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--key", "ed25519:" + "1" * 64], "which log"),
        (["."], "which public key"),
        ([".", "--database", "--keys", "pinned"], "which log"),
        ([".", "--keys", "pinned", "--as-of", "yesterday"], "expected a time"),
        ([".", "--keys", "pinned", "--as-of", "2026-01-01T00:00"], "expected a zone"),
    ],
)
def test_a_wrong_command_says_what_is_missing(
    log: Path, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(log)
    done = run("verify", *arguments)
    assert (done.exit_code, said in done.stderr) == (exits.USAGE, True)


def test_tail_shows_the_newest_entries_and_no_control_characters(log: Path) -> None:
    done = run("tail", log / "log", "-n", "3")
    lines = done.stdout.splitlines()
    assert ["tool-18" in lines[0], "tool-19" in lines[1], '"stop"' in lines[2], len(lines)] == [True, True, True, 3]
    assert "\x1b" not in done.stdout
    entry = json.loads(run("tail", log / "log", "-n", "2", "--json").stdout.splitlines()[0])
    assert (entry["sequence"], entry["event"]["what"]["name"]) == (21, "tool-19\x1b[31m")


def test_an_export_verifies_and_a_changed_one_does_not(log: Path) -> None:
    public = (log / "pinned").read_text().strip()
    assert run("export", log / "log", "--to", log / "out", "--key", public).exit_code == exits.OK
    assert sorted(file.name for file in (log / "out").iterdir()) == ["checkpoints.jsonl", "entries.jsonl", "keys.txt"]
    assert run("verify", log / "out", "--keys", log / "out" / "keys.txt").exit_code == exits.OK
    file = log / "out" / "entries.jsonl"
    file.write_bytes(file.read_bytes().replace(b"tool-7", b"tool-8"))
    assert run("verify", log / "out", "--keys", log / "pinned").exit_code == exits.CHECKS_FAILED


def test_an_export_overwrites_nothing(log: Path) -> None:
    done = run("export", log / "log", "--to", log / "log")
    assert (done.exit_code, "File exists" in done.stderr) == (exits.FAILED, True)


def test_the_database_verifies_too(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{log / 'records' / 'records.db'}"

    async def write() -> None:
        async with open_records(url) as store:
            signer = keys.load(log / "key")
            async with Writer(RecordsSink(store.audit), signer, server_id="web-1", clock=SystemClock()) as one:
                await one.append(call())

    anyio.run(write)
    monkeypatch.setenv("PORTSIDE_DATABASE_URL", url)
    done = run("verify", "--database", "--keys", log / "pinned")
    assert (done.exit_code, done.stdout.splitlines()[-1].partition(",")[0]) == (exits.OK, "sound: 3 entries")
    assert len(run("tail", "--database", "-n", "2").stdout.splitlines()) == 2
    assert run("export", "--database", "--to", log / "out").exit_code == exits.OK
    monkeypatch.delenv("PORTSIDE_DATABASE_URL")
    (log / "url").write_text(f"{url}\n")
    monkeypatch.setenv("PORTSIDE_DATABASE_URL_FILE", str(log / "url"))  # as replicas are given it
    assert len(run("tail", "--database", "-n", "2").stdout.splitlines()) == 2


def test_the_database_must_be_named(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DATABASE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    done = run("verify", "--database", "--keys", log / "pinned")
    assert (done.exit_code, "PORTSIDE_DATABASE_URL" in done.stderr) == (exits.USAGE, True)
    monkeypatch.setenv("PORTSIDE_DATABASE_URL_FILE", str(log / "absent"))
    done = run("verify", "--database", "--keys", log / "pinned")
    assert done.exit_code == exits.USAGE
    assert f"PORTSIDE_DATABASE_URL_FILE: '{log / 'absent'}' cannot be read: No such file" in done.stderr
