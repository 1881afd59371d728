"""What clients are told: challenges and metadata, read by their grammar (RFC 6750, RFC 9110, RFC 9728, MCP)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.auth.challenge import Challenges, quoted
from portside.auth.metadata import Metadata, resource_url
from portside.auth.refused import NotAuthenticated
from portside.errors import SettingsInvalid
from tests.auth import grammar

URL = "https://api.example.com/.well-known/oauth-protected-resource/mcp"
READY = Challenges(URL, frozenset({"files:read", "use"}))


def test_the_challenges_read_exactly_as_the_specification_writes_them() -> None:
    """Spec: MCP 2026-07-28, Authorization, Scope Selection Strategy and Scope Challenge Handling."""
    assert READY.unauthenticated() == f'Bearer resource_metadata="{URL}", scope="files:read use"'
    assert READY.invalid() == f'Bearer error="invalid_token", resource_metadata="{URL}", scope="files:read use"'
    assert READY.insufficient(["files:write", "files:read"]) == (
        f'Bearer error="insufficient_scope", scope="files:read files:write", resource_metadata="{URL}"'
    )


def test_a_request_without_a_token_did_nothing_wrong() -> None:
    assert "error" not in grammar.parse(READY.unauthenticated())


@pytest.mark.parametrize("kind", NotAuthenticated.__subclasses__())
def test_every_refusal_has_a_reason_a_challenge_can_carry(kind: type[NotAuthenticated]) -> None:
    found = grammar.parse(READY.invalid(kind.reason))
    assert (found["error"], found["error_description"]) == ("invalid_token", kind.reason)


def test_without_scopes_and_without_metadata_the_challenge_is_the_scheme() -> None:
    assert Challenges(None).unauthenticated() == "Bearer"
    assert grammar.parse(Challenges(None).invalid()) == {"error": "invalid_token"}


def test_refresh_tokens_are_not_asked_for() -> None:
    assert "offline_access" not in Challenges(URL, frozenset({"offline_access", "a"})).unauthenticated()
    assert "offline_access" not in READY.insufficient(["offline_access", "a"])
    document = json.loads(Metadata("https://a.example/mcp", ["https://i.example"], ["offline_access"]).document())
    assert "scopes_supported" not in document


@given(st.text())
def test_whatever_text_is_given_the_challenge_is_well_formed_or_not_made(text: str) -> None:
    for make in (
        lambda: READY.invalid(text),
        lambda: READY.insufficient([text]),
        lambda: Challenges(text).unauthenticated(),
        lambda: READY.malformed(text),
    ):
        try:
            made = make()
        except ValueError:
            continue
        grammar.parse(made)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_a_quoted_text_is_read_back_as_it_was(text: str) -> None:
    assert grammar.parse(f"Bearer x={quoted(text)}") == {"x": text}


def test_the_document_names_the_resource_its_issuers_and_how_to_present_tokens() -> None:
    metadata = Metadata("https://api.example.com/mcp", ["https://as.example.com"], ["read"], "Notes")
    assert json.loads(metadata.document()) == {
        "resource": "https://api.example.com/mcp",
        "authorization_servers": ["https://as.example.com"],
        "scopes_supported": ["read"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Notes",
    }


@pytest.mark.parametrize(
    ("public", "resource", "url", "paths"),
    [
        ("https://a.example", "https://a.example/mcp",
         "https://a.example/.well-known/oauth-protected-resource/mcp", ""),
        ("https://A.Example:443/", "https://a.example/mcp",
         "https://a.example/.well-known/oauth-protected-resource/mcp", ""),
        ("HTTPS://a.example:8443", "https://a.example:8443/mcp",
         "https://a.example:8443/.well-known/oauth-protected-resource/mcp", ""),
        ("http://127.0.0.1:80", "http://127.0.0.1/mcp",
         "http://127.0.0.1/.well-known/oauth-protected-resource/mcp", ""),
        ("https://[2001:DB8::1]", "https://[2001:db8::1]/mcp",
         "https://[2001:db8::1]/.well-known/oauth-protected-resource/mcp", ""),
        ("https://a.example/Team/notes/", "https://a.example/Team/notes/mcp",
         "https://a.example/.well-known/oauth-protected-resource/Team/notes/mcp", "/Team/notes/mcp"),
    ],
)  # fmt: skip
def test_the_canonical_url_and_where_its_document_is(public: str, resource: str, url: str, paths: str) -> None:
    assert resource_url(public) == resource
    metadata = Metadata(resource, ["https://i.example"])
    assert metadata.url == url
    root = "/.well-known/oauth-protected-resource"
    assert metadata.paths == {root, f"{root}/mcp"} | ({root + paths} if paths else set[str]())


@pytest.mark.parametrize(
    "public",
    ["", "a.example", "ftp://a.example", "https://", "https://a.example?x=1", "https://a.example#x", "https://a.example?",
     "https://ann@a.example", "https://ann:pw@a.example", "https://a.example/a/../b", "https://a.example/./a",
     "https://a.example//a", "https://a.example:99999", "https://[::1", "https://a.example/a b", "https://a.example/ü"],
)  # fmt: skip
def test_what_is_no_canonical_url_stops_the_start(public: str) -> None:
    with pytest.raises(SettingsInvalid):
        resource_url(public)
