"""`portside keys`: a key is shown once, kept as a digest, works at a running server, and can be taken back."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from portside.auth.key_text import PATTERN
from tests.cli.commands import run
from tests.hostile.attack import dialled
from tests.journeys.raw import get
from tests.processes import portside

TARGET = "tests/journeys/targets/steady.py"


def create(cwd: Path, *arguments: str) -> str:
    done = run("keys", "create", *arguments, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def listed(cwd: Path) -> list[dict[str, Any]]:
    done = run("keys", "list", "--json", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_a_key_is_printed_once_and_never_listed(tmp_path: Path) -> None:
    key = create(tmp_path, "--name", "ci", "--scope", "read", "--expires", "90d")
    assert re.fullmatch(PATTERN, key)
    (row,) = listed(tmp_path)
    assert (row["name"], row["principal"], row["scopes"], row["state"]) == ("ci", "ci", "read", "good")
    assert row["id"] == key.split("_")[1]
    secret = key.split("_")[2]
    assert secret not in json.dumps(row)
    assert secret not in run("keys", "list", cwd=tmp_path).stdout
    assert all(secret.encode() not in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


def test_several_keys_may_act_for_one_principal(tmp_path: Path) -> None:
    made = json.loads(create(tmp_path, "--name", "laptop", "--principal", "ann", "--json"))
    create(tmp_path, "--name", "phone", "--principal", "ann")
    assert made["principal"] == "ann"
    assert [(row["name"], row["principal"]) for row in listed(tmp_path)] == [("laptop", "ann"), ("phone", "ann")]


def test_a_revoked_key_stays_in_the_list_as_that(tmp_path: Path) -> None:
    key = create(tmp_path, "--name", "ci")
    done = run("keys", "revoke", key.split("_")[1], cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert [row["state"] for row in listed(tmp_path)] == ["revoked"]


def test_a_key_that_is_not_there_cannot_be_revoked(tmp_path: Path) -> None:
    done = run("keys", "revoke", "nobody", cwd=tmp_path)
    assert done.returncode == 1
    assert "no API key has the id 'nobody'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(["--name", ""], "name"), (["--name", "a\nb"], "name"), (["--name", "a", "--scope", "a b"], "scope")],
)
def test_what_no_key_can_be_called_is_told(tmp_path: Path, arguments: list[str], text: str) -> None:
    done = run("keys", "create", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"API key {text}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.anyio
async def test_a_key_works_at_a_running_server_also_one_made_while_it_runs(tmp_path: Path) -> None:
    before = create(tmp_path, "--name", "before")
    environment = {"PORTSIDE_API_KEYS": "true", "PORTSIDE_DATA_DIR": str(tmp_path / "data"), "MCP_ENV": "production"}
    with portside(TARGET, environment=environment) as server:
        during = create(tmp_path, "--name", "during")
        for key, status in ((before, 200), (during, 200), (before[:-1] + "x", 401)):
            async with dialled(server.port) as connection:
                reply = await connection.ask(get("/own/me", {"Authorization": f"Bearer {key}"}))
            assert reply.status == status
        revoked = run("keys", "revoke", during.split("_")[1], cwd=tmp_path)
        assert revoked.returncode == 0
    assert {row["name"]: row["last_used"] is not None for row in listed(tmp_path)} == {"before": True, "during": True}
