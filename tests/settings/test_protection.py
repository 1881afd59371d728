"""Settings of who gets in: forms, companions, and what production refuses."""

from pathlib import Path

import pytest

from portside.errors import SettingsInvalid
from portside.settings.model import Settings
from portside.settings.sources import load

KEY = bytes(range(32)).hex()
HERE = {"PORTSIDE_PUBLIC_URL": "https://mcp.example.com"}


def read(**environ: str) -> Settings:
    return load({**HERE, **environ}).settings


def refusal(**environ: str) -> str:
    with pytest.raises(SettingsInvalid) as caught:
        load(environ)
    return str(caught.value)


@pytest.mark.parametrize(
    "environ",
    [
        {"JWT_SECRET": KEY},
        {"PORTSIDE_AUTH_ISSUERS": "https://login.example.com"},
        {"PORTSIDE_API_KEYS": "true"},
    ],
)
def test_with_a_way_to_authenticate_production_listens_beyond_this_machine(environ: dict[str, str]) -> None:
    assert read(MCP_HOST="0.0.0.0", **environ).is_authenticated


@pytest.mark.parametrize(
    "text",
    [
        "short",
        "your-super-secret-jwt-key-change-in-production",
        "change-me-change-me-change-me-change-me-1234",
        "a" * 64,
        "development-only-0123456789abcdefghijk",
    ],
)
def test_short_regular_and_sample_secrets_are_refused_without_being_told(text: str) -> None:
    told = refusal(JWT_SECRET=text, **HERE)
    assert told.startswith("JWT_SECRET: expected at least 32 random bytes")
    assert text not in told


def test_tokens_need_to_know_what_they_are_meant_for() -> None:
    assert "PORTSIDE_PUBLIC_URL: tokens must be meant for this deployment" in refusal(JWT_SECRET=KEY)
    assert load({"JWT_SECRET": KEY, "PORTSIDE_AUTH_AUDIENCE": "https://a.com/mcp"}).settings.takes_tokens
    assert load({"JWT_SECRET": KEY, "MCP_ENV": "development"}).settings.takes_tokens


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"SSL_CERT_PATH": "/c"}, "SSL_CERT_PATH: set without SSL_KEY_PATH"),
        ({"SSL_CA_PATH": "/c"}, "SSL_CA_PATH: needs SSL_CERT_PATH"),
        ({"PORTSIDE_CERTIFICATE_IDENTITY": "uri"}, "PORTSIDE_CERTIFICATE_IDENTITY: needs SSL_CA_PATH"),
        ({"PORTSIDE_AUDIT": "file"}, "PORTSIDE_AUDIT: needs PORTSIDE_AUDIT_KEY_PATH"),
        ({"PORTSIDE_AUDIT_ARGUMENTS": "hashed"}, "PORTSIDE_AUDIT_ARGUMENTS: needs ENCRYPTION_KEY"),
        ({"PORTSIDE_AUTH_JWKS_URL": "https://a.com/k"}, "PORTSIDE_AUTH_JWKS_URL: needs exactly one issuer"),
    ],
)
def test_a_setting_without_what_it_needs_is_refused(environ: dict[str, str], words: str) -> None:
    assert words in refusal(**environ)


def test_limits_of_tools_are_read_and_odd_ones_refused() -> None:
    assert read(PORTSIDE_TOOL_LIMITS="deploy=2, search=50").tool_limits == (("deploy", 2), ("search", 50))
    for text in ("deploy", "deploy=", "=3", "deploy=0", "deploy=-1", "deploy=many"):
        assert "expected tool=count" in refusal(PORTSIDE_TOOL_LIMITS=text)


def test_rules_are_read_from_the_file_and_are_no_settings(tmp_path: Path) -> None:

    file = tmp_path / "portside.toml"
    file.write_text('[scopes]\nrequired = ["mcp"]\n[scopes.tools]\ndeploy = ["ops"]\n')
    loaded = load({}, file=file)
    assert loaded.scopes == {"required": ["mcp"], "tools": {"deploy": ["ops"]}}
    file.write_text("scopes = 3")
    with pytest.raises(SettingsInvalid, match="scopes: expected a table"):
        load({}, file=file)
