"""`portside token`: what it issues is what the server accepts, and what it inspects it never shows again."""

import json
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.cli.commands import PUBLIC, SECRET, run


def issue(cwd: Path, *arguments: str, **environ: str) -> str:
    settings = {"JWT_SECRET": SECRET, "PORTSIDE_PUBLIC_URL": PUBLIC, **environ}
    done = run("token", "issue", "--subject", "ann", *arguments, cwd=cwd, **settings)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def inspect(cwd: Path, token: str, **environ: str) -> tuple[int, dict[str, Any]]:
    settings = {"JWT_SECRET": SECRET, "PORTSIDE_PUBLIC_URL": PUBLIC, **environ}
    done = run("token", "inspect", "-", cwd=cwd, given=token, **settings)
    assert token not in done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)


def test_what_is_issued_is_accepted_and_says_who_for_whom_and_how_long(tmp_path: Path) -> None:
    token = issue(tmp_path, "--client", "app", "--scope", "read", "--scope", "write", "--expires", "15m")
    code, found = inspect(tmp_path, token)
    claims = found["claims"]
    assert (code, found["accepted"], found["scopes"]) == (0, True, ["read", "write"])
    assert (claims["sub"], claims["client_id"], claims["aud"]) == ("ann", "app", f"{PUBLIC}/mcp")
    assert claims["exp"] - claims["iat"] == 15 * 60
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "at+jwt"}


def test_no_two_tokens_are_the_same(tmp_path: Path) -> None:
    assert issue(tmp_path) != issue(tmp_path)


def test_of_several_secrets_the_first_signs_and_all_are_accepted(tmp_path: Path) -> None:
    new = bytes(range(32, 64)).hex()
    old_token = issue(tmp_path)
    both = {"JWT_SECRET": f"new:{new},old:{SECRET}"}
    assert inspect(tmp_path, old_token, **both)[0] == 0
    new_token = issue(tmp_path, **both)
    assert inspect(tmp_path, new_token, JWT_SECRET=new)[0] == 0
    assert inspect(tmp_path, new_token)[0] == 5


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"JWT_SECRET": bytes(range(1, 33)).hex()}, "signature"),
        ({"PORTSIDE_PUBLIC_URL": "https://other.example.com"}, "not meant for this server"),
        ({"PORTSIDE_JWT_ISSUER": "another"}, "issuer"),
    ],
)
def test_a_token_of_another_deployment_is_not_accepted_and_the_reason_is_told(
    tmp_path: Path, changes: dict[str, str], reason: str
) -> None:
    code, found = inspect(tmp_path, issue(tmp_path), **changes)
    assert (code, found["accepted"]) == (5, False)
    assert reason in found["reason"]


def test_what_is_no_token_is_not_accepted(tmp_path: Path) -> None:
    code, found = inspect(tmp_path, "hello")
    assert (code, found["accepted"]) == (5, False)
    assert found["reason"] == "expected a token of three parts in base64url"


def test_without_a_way_to_authenticate_nothing_is_accepted(tmp_path: Path) -> None:
    token = issue(tmp_path)
    done = run("token", "inspect", "-", cwd=tmp_path, given=token)
    assert done.returncode == 5
    assert json.loads(done.stdout)["reason"].startswith("nobody authenticates here")


def test_without_a_secret_there_is_nothing_to_sign_with(tmp_path: Path) -> None:
    done = run("token", "issue", "--subject", "ann", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (4, "")
    assert "JWT_SECRET: not set" in done.stderr


def test_without_a_public_url_a_token_would_be_meant_for_nobody(tmp_path: Path) -> None:
    done = run("token", "issue", "--subject", "ann", cwd=tmp_path, JWT_SECRET=SECRET)
    assert (done.returncode, done.stdout) == (4, "")
    assert "PORTSIDE_PUBLIC_URL" in done.stderr


@pytest.mark.parametrize("secret", ["short", "0" * 64, "changeme" * 8])
def test_a_weak_secret_is_refused_and_not_shown(tmp_path: Path, secret: str) -> None:
    done = run("token", "issue", "--subject", "ann", cwd=tmp_path, JWT_SECRET=secret, PORTSIDE_PUBLIC_URL=PUBLIC)
    assert (done.returncode, done.stdout) == (4, "")
    assert "JWT_SECRET" in done.stderr
    assert secret not in done.stderr


def test_the_secret_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET, encoding="ascii")
    file.chmod(0o600)
    done = run(
        "token", "issue", "--subject", "ann", cwd=tmp_path, JWT_SECRET_FILE=str(file), PORTSIDE_PUBLIC_URL=PUBLIC
    )
    assert inspect(tmp_path, done.stdout.strip())[0] == 0


@pytest.mark.parametrize("text", ["5x", "0s", "-1h", "1.5h", ""])
def test_what_is_no_duration_is_wrong_usage(tmp_path: Path, text: str) -> None:
    done = run("token", "issue", "--subject", "ann", "--expires", text, cwd=tmp_path, JWT_SECRET=SECRET)
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected a duration such as 30s, 15m, 12h or 90d" in done.stderr
