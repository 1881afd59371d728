"""Where a setting comes from: the later source wins, and every value says which it was."""

from pathlib import Path
from typing import Final

import pytest

from portside.errors import SettingsInvalid
from portside.settings.model import TABLE
from portside.settings.sources import load, scrub

KEY = bytes(range(32)).hex()
OTHER_KEY = bytes(range(32, 64)).hex()


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    file = tmp_path / "portside.toml"
    file.write_text('[serve]\nport = 4001\n[limits]\nmax_body = "1MiB"\n', encoding="utf-8")
    return file


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir()
    return folder


def write(file: Path, text: str, mode: int = 0o600) -> Path:
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)
    return file


def refusal(environ: dict[str, str], file: Path | None = None) -> str:
    with pytest.raises(SettingsInvalid) as caught:
        load(environ, file=file)
    return str(caught.value)


def test_without_any_source_everything_is_a_default() -> None:
    loaded = load({})
    assert (loaded.settings.port, loaded.settings.host, loaded.settings.env) == (3000, "127.0.0.1", "production")
    assert dict(loaded.origins) == dict.fromkeys(TABLE, "default")


def test_each_source_outranks_the_ones_before(toml: Path, secrets: Path) -> None:
    seen: list[tuple[int, str]] = []
    environ = {"PORTSIDE_SECRETS_DIR": str(secrets)}
    for step in ("file", "folder", "environment", "flag"):
        if step == "folder":
            write(secrets / "MCP_PORT", "4002\n")
        if step == "environment":
            environ["MCP_PORT"] = "4003"
        loaded = load(environ, file=toml, flags={"port": 4004} if step == "flag" else {})
        seen.append((loaded.settings.port, loaded.origins["port"]))
    assert seen == [
        (4001, "portside.toml serve.port"),
        (4002, f"secrets folder {secrets}, file MCP_PORT"),
        (4003, "environment MCP_PORT"),
        (4004, "flag --port"),
    ]
    assert load({}, flags={"target": "server.py"}).origins["target"] == "argument TARGET"


SAMPLES: Final = {
    "asgi_path": '"/mcp"',
    "auth_audience": '"https://a.com/mcp"',
    "auth_issuers": '["https://login.a.com"]',
    "auth_jwks_url": '"https://login.a.com/keys"',
    "introspection_url": '"https://login.a.com/introspect"',
    "max_calls": "7",
    "public_url": '"https://a.com"',
    "stdio_idle_ms": "7",
    "stdio_max_files": "7",
    "stdio_max_memory_bytes": '"1GiB"',
    "upstream_token_url": '"https://a.com/token"',
}
"""What a setting without a default may be, where not any text will do."""


def test_every_setting_but_a_secret_can_be_set_in_the_file(tmp_path: Path) -> None:
    defaults = load({}).settings
    lines: list[str] = []
    for name, entry in TABLE.items():
        value: object = getattr(defaults, name)
        text = f'"{value}"' if value is not None else f'"{tmp_path}"'
        if name in SAMPLES:
            text = SAMPLES[name]
        elif isinstance(value, int | tuple):
            text = "true" if isinstance(value, bool) else "7" if isinstance(value, int) else "[]"
        if not entry.is_secret:
            lines.append(f"{entry.key} = {text}")
    file = write(tmp_path / "portside.toml", "\n".join(lines))
    secrets = {"PORTSIDE_UPSTREAM_CLIENT_SECRET": "x" * 32, "PORTSIDE_INTROSPECTION_CLIENT_SECRET": "x" * 32}
    origins = load(secrets, file=file).origins
    expected = {name: f"portside.toml {entry.key}" for name, entry in TABLE.items() if not entry.is_secret}
    assert {name: origins[name] for name in expected} == expected


def test_lists_and_sizes_of_the_file_may_be_written_as_toml_has_them(tmp_path: Path) -> None:
    text = '[limits]\nmax_body = 1024\n[proxy]\nallowed_hosts = ["a.com", "b.com:8443"]\n[observe]\nmetrics = false\n'
    settings = load({}, file=write(tmp_path / "portside.toml", text)).settings
    assert settings.max_body_bytes == 1024
    assert settings.allowed_hosts == ("a.com", "b.com:8443")
    assert settings.metrics_enabled is False


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[limits]\nmax_bdy = 1",
            "limits.max_bdy: no such setting; did you mean limits.max_body? (from portside.toml)",
        ),
        ("[nothing]\nlike = 1", "nothing.like: no such setting (from portside.toml)"),
        ("[serve]\nport = true", "MCP_PORT='True': expected a port, 0 to 65535 (from portside.toml serve.port)"),
        ("[serve]\nport = {a = 1}", "serve.port.a: no such setting; did you mean serve.port? (from portside.toml)"),
        ("[serve]\nsecrets_dir = 5", "PORTSIDE_SECRETS_DIR='5': expected a folder"),
        ("[proxy]\nallowed_hosts = [1]", "PORTSIDE_ALLOWED_HOSTS='[1]': expected hosts"),
        ("serve = 1 = 2", "cannot be read"),
    ],
)
def test_what_is_wrong_in_the_file_is_told_with_its_path(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in refusal({}, write(tmp_path / "portside.toml", text))


def test_a_secret_in_the_file_is_refused_and_not_told(tmp_path: Path) -> None:
    message = refusal({}, write(tmp_path / "portside.toml", f'[secrets]\nencryption_key = "{KEY}"\n'))
    assert "secrets.encryption_key: a secret does not belong into a settings file; use ENCRYPTION_KEY_FILE" in message
    assert KEY not in message


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    assert f"{tmp_path / 'absent.toml'}: cannot be read" in refusal({}, tmp_path / "absent.toml")


def test_a_secret_may_come_from_a_file_of_its_own(tmp_path: Path) -> None:
    file = write(tmp_path / "key", f"{KEY}\n")
    loaded = load({"ENCRYPTION_KEY_FILE": str(file), "ENCRYPTION_KEY": ""})
    assert [key.reveal().hex() for key in loaded.settings.encryption_keys] == [KEY]
    assert loaded.origins["encryption_keys"] == f"secret file {file}"


def test_a_secret_may_come_from_the_secrets_folder_that_the_file_names(tmp_path: Path, secrets: Path) -> None:
    write(secrets / "ENCRYPTION_KEY", KEY)
    file = write(tmp_path / "portside.toml", f'[serve]\nsecrets_dir = "{secrets}"\n')
    loaded = load({}, file=file)
    assert loaded.origins["encryption_keys"] == f"secrets folder {secrets}, file ENCRYPTION_KEY"


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "key", OTHER_KEY)
    message = refusal({"ENCRYPTION_KEY": KEY, "ENCRYPTION_KEY_FILE": str(file)})
    assert message.startswith("ENCRYPTION_KEY: set both directly and by ENCRYPTION_KEY_FILE; choose one")
    assert KEY not in message
    assert OTHER_KEY not in message


def test_a_secret_file_that_everybody_can_read_is_refused_in_production_only(tmp_path: Path) -> None:
    file = write(tmp_path / "key", KEY, mode=0o644)
    environ = {"ENCRYPTION_KEY_FILE": str(file)}
    assert f"ENCRYPTION_KEY_FILE: can be read by everybody: chmod o-r it (from secret file {file})" in refusal(environ)
    assert load({**environ, "MCP_ENV": "development"}).settings.encryption_keys != ()


def test_what_is_no_secret_may_be_readable_in_the_secrets_folder(secrets: Path) -> None:
    write(secrets / "LOG_LEVEL", "debug", mode=0o644)
    assert load({"PORTSIDE_SECRETS_DIR": str(secrets)}).settings.log_level == "debug"


@pytest.mark.parametrize("content", [b"\xff\xfe", b""])
def test_a_secret_file_without_a_key_in_it_is_told(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(0o600)
    assert "ENCRYPTION_KEY" in refusal({"ENCRYPTION_KEY_FILE": str(file)})
    assert "cannot be read" in refusal({"ENCRYPTION_KEY_FILE": str(tmp_path / "absent")})


def test_a_secrets_folder_that_is_none_is_told(tmp_path: Path) -> None:
    assert "is not a folder that can be read" in refusal({"PORTSIDE_SECRETS_DIR": str(tmp_path / "absent")})


def test_misspelt_and_wrong_files_of_the_secrets_folder_are_told(secrets: Path) -> None:
    write(secrets / "ENCRYPTION_KYE", KEY)
    write(secrets / "JWT_SECRET", "hunter2")
    write(secrets / "SOMEBODY_ELSES", "x")
    message = refusal({"PORTSIDE_SECRETS_DIR": str(secrets)})
    assert "ENCRYPTION_KYE: no such setting; did you mean ENCRYPTION_KEY?" in message
    assert "JWT_SECRET: expected at least 32 random bytes" in message
    assert len(message.splitlines()) == 2
    assert "hunter2" not in message


def test_hosted_code_does_not_inherit_our_secrets() -> None:
    environ = {"ENCRYPTION_KEY": KEY, "ENCRYPTION_KEY_FILE": "/k", "DATABASE_URL": "theirs", "REDIS_PASSWORD": "theirs"}
    scrub(environ)
    assert environ == {"DATABASE_URL": "theirs", "REDIS_PASSWORD": "theirs"}


def test_settings_cannot_be_changed_once_loaded() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load({}).settings.port = 1
