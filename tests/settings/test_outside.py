"""Settings of children and upstreams: forms, companions, and what production refuses."""

import pytest

from portside.errors import SettingsInvalid
from portside.settings.model import Settings
from portside.settings.sources import load


def read(**environ: str) -> Settings:
    return load({"MCP_ENV": "development", **environ}).settings


def refusal(**environ: str) -> str:
    with pytest.raises(SettingsInvalid) as caught:
        load(environ)
    return str(caught.value)


def test_header_lines_become_names_in_lower_case_and_hidden_values() -> None:
    found = read(PORTSIDE_UPSTREAM_HEADERS="X-API-Key: one two\n\nAuthorization: Bearer abc ").upstream_headers
    assert found is not None
    assert [(name, value.reveal()) for name, value in found] == [
        ("x-api-key", b"one two"),
        ("authorization", b"Bearer abc"),
    ]
    assert "abc" not in repr(found)


@pytest.mark.parametrize("text", ["no colon", "bad name: x", "Host: example.com", "Content-Length: 3", "X: \x01", " "])
def test_what_is_no_free_header_is_refused_without_its_value(text: str) -> None:
    told = refusal(PORTSIDE_UPSTREAM_HEADERS=f"{text}")
    assert told.startswith("PORTSIDE_UPSTREAM_HEADERS: expected lines of Name: value")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORTSIDE_STDIO_ENV", "GOOD,not good"),
        ("PORTSIDE_STDIO_MAX_CHILDREN", "0"),
        ("PORTSIDE_ASGI_PATH", "mcp"),
        ("PORTSIDE_ASGI_PATH", "/mcp?x=1"),
        ("PORTSIDE_UPSTREAM_TOKEN_URL", "login.example.com"),
        ("PORTSIDE_UPSTREAM_TOKEN_URL", "https://me:pw@login.example.com/token"),
    ],
)
def test_a_wrong_value_is_told_with_the_accepted_form(variable: str, value: str) -> None:
    assert f"{variable}=" in refusal(**{variable: value})


def test_a_setting_without_its_companions_is_refused() -> None:
    told = refusal(PORTSIDE_UPSTREAM_CERT_PATH="/c.pem", PORTSIDE_UPSTREAM_CLIENT_ID="me")
    assert "PORTSIDE_UPSTREAM_CERT_PATH: set without PORTSIDE_UPSTREAM_KEY_PATH" in told
    assert (
        "PORTSIDE_UPSTREAM_CLIENT_ID: set without PORTSIDE_UPSTREAM_TOKEN_URL and PORTSIDE_UPSTREAM_CLIENT_SECRET"
    ) in told


@pytest.mark.parametrize("target", ["http://mcp.example.com/mcp", "http://10.0.0.7:8080/mcp"])
def test_production_refuses_credentials_in_the_clear(target: str) -> None:
    secret = {"PORTSIDE_UPSTREAM_HEADERS": "X-Key: hush-hush"}
    told = refusal(PORTSIDE_TARGET=target, **secret)
    assert "would send the upstream's credentials in the clear" in told
    assert "hush" not in told
    assert load({"PORTSIDE_TARGET": target}).settings.target == target
    assert load({"PORTSIDE_TARGET": "http://127.0.0.1:9/mcp", **secret}).settings.has_upstream_secret
    assert load({"PORTSIDE_TARGET": target, "MCP_ENV": "development", **secret}).settings.has_upstream_secret
