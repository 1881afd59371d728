"""`portside db`: says what it would do, does it, and can be told so again."""

from pathlib import Path

import pytest

from tests.cli.commands import run


def test_a_dry_run_tells_the_steps_and_takes_none(tmp_path: Path) -> None:
    first = run("db", "upgrade", "--dry-run", cwd=tmp_path)
    assert first.returncode == 0
    assert first.stdout.startswith("would run 0001")
    assert run("db", "upgrade", "--dry-run", cwd=tmp_path).stdout == first.stdout


def test_an_upgrade_tells_from_where_to_where_and_may_be_repeated(tmp_path: Path) -> None:
    done = run("db", "upgrade", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "upgraded from empty to 0002\n")
    assert run("db", "upgrade", cwd=tmp_path).stdout == "at 0002 already\n"
    assert run("db", "upgrade", "--dry-run", cwd=tmp_path).stdout == "nothing to do\n"


def test_the_store_is_the_owners_alone(tmp_path: Path) -> None:
    run("db", "upgrade", cwd=tmp_path)
    (file,) = [file for file in tmp_path.rglob("*.db") if file.is_file()]
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mysql://app:hunter2hunter2@db/app", " PORTSIDE_DATABASE_URL: mysql:// is not"),
        ("postgresql://app:hunter2hunter2@127.0.0.1:1/app", "127.0.0.1"),
    ],
)
def test_a_store_that_cannot_be_used_is_told_without_its_password(tmp_path: Path, url: str, expected: str) -> None:
    done = run("db", "upgrade", cwd=tmp_path, PORTSIDE_DATABASE_URL=url)
    assert done.returncode in (1, 4)
    assert expected in done.stderr
    assert "hunter2hunter2" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["PORTSIDE_DATABASE_URL", "DATABASE_URL"])
@pytest.mark.parametrize("command", [("db", "upgrade"), ("keys", "list")])
def test_what_is_wrong_is_called_what_it_was_set_by(tmp_path: Path, command: tuple[str, ...], name: str) -> None:
    done = run(*command, cwd=tmp_path, **{name: "mysql://db/app"})
    assert (done.returncode, f" {name}: mysql:// is not supported" in done.stderr) == (4, True), done.stderr


def test_a_store_elsewhere_is_the_one_that_is_used(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    assert run("db", "upgrade", cwd=tmp_path, PORTSIDE_DATABASE_URL=url).returncode == 0
    assert (tmp_path / "elsewhere.db").exists()
    assert not (tmp_path / "data").exists()
