"""What principals may do: the table in portside.toml, decisions, and filtered lists (ours; challenges by the spec)."""

import tomllib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portside.auth import scopes_table
from portside.auth.patterns import is_settled, matches
from portside.auth.principal import Principal
from portside.auth.scopes import ALLOWED, Needs, Policy
from portside.errors import SettingsInvalid

TABLE = """
required = ["use"]
advertised = ["use", "files:read"]

[implies]
admin = ["files:write", "use"]
"files:write" = ["files:read"]

[methods]
"logging/setLevel" = ["admin"]

[tools]
search = []
delete = ["files:write", "audit"]
"file_*" = ["files:read"]
"*_secret" = ["secrets"]

[resources]
"file:///public/*" = []
"file:///team/*" = ["files:read"]
"file:///team/keys/*" = ["secrets"]
"file:///team/keys/readme" = ["use"]

[prompts]
"*" = ["files:read"]
"""


def policy(text: str = TABLE) -> Policy:
    return scopes_table.read(tomllib.loads(text))


def who(*scopes: str) -> Principal:
    return Principal("jwt", "i", "ann", "app", frozenset(scopes))


@pytest.mark.parametrize(
    ("method", "params", "needed"),
    [
        ("ping", None, {"use"}),
        ("tools/list", {}, {"use"}),
        ("logging/setLevel", {"level": "debug"}, {"use", "admin"}),
        ("tools/call", {"name": "search"}, {"use"}),
        ("tools/call", {"name": "delete"}, {"use", "files:write", "audit"}),
        ("tools/call", {"name": "file_list"}, {"use", "files:read"}),
        ("tools/call", {"name": "file_secret"}, {"use", "files:read", "secrets"}),
        ("tools/call", {"name": "Search"}, {"use"}),
        ("tools/call", {"name": ["delete"]}, {"use"}),
        ("tools/call", None, {"use"}),
        ("prompts/get", {"name": "x"}, {"use", "files:read"}),
        ("resources/read", {"uri": "file:///public/a"}, {"use"}),
        ("resources/read", {"uri": "file:///team/a"}, {"use", "files:read"}),
        ("resources/read", {"uri": "file:///team/keys/a"}, {"use", "files:read", "secrets"}),
        ("resources/read", {"uri": "file:///team/keys/readme"}, {"use"}),
        ("resources/subscribe", {"uri": "file:///team/a"}, {"use", "files:read"}),
        ("resources/unsubscribe", {"uri": "file:///team/a"}, {"use", "files:read"}),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": "x"}}, {"use", "files:read"}),
        ("completion/complete", {"ref": {"type": "ref/resource", "uri": "file:///team/{x}"}}, {"use", "files:read"}),
        ("completion/complete", {"ref": "x"}, {"use"}),
        ("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, {"use"}),
        (
            "subscriptions/listen",
            {"notifications": {"resourceSubscriptions": ["file:///public/a", "file:///team/keys/b", 5]}},
            {"use", "files:read", "secrets"},
        ),
    ],
)
def test_what_a_call_needs(method: str, params: dict[str, Any] | None, needed: set[str]) -> None:
    assert policy().needs(method, params) == needed


def test_all_scopes_are_named_at_once_also_those_one_has() -> None:
    """Spec: MCP 2026-07-28, Authorization, Runtime Insufficient Scope Errors."""
    verdict = policy().may(who("use"), "tools/call", {"name": "delete"})
    assert verdict == Needs(frozenset({"use", "files:write", "audit"}))
    assert policy().may(who("use", "files:write", "audit"), "tools/call", {"name": "delete"}) is ALLOWED


def test_a_broader_scope_includes_narrower_ones_however_far() -> None:
    """Spec: servers MUST account for scope hierarchies."""
    admin = who("admin")
    assert policy().granted(admin.scopes) == {"admin", "files:write", "files:read", "use"}
    assert policy().may(admin, "tools/call", {"name": "file_list"}) is ALLOWED
    assert policy().may(who("files:read"), "logging/setLevel", None) != ALLOWED
    assert isinstance(policy().may(admin, "tools/call", {"name": "delete"}), Needs)


@pytest.mark.parametrize(
    "uri",
    [
        "file:///public/../team/keys/a",
        "file:///public/./a",
        "file:///public/..",
        "file:///public/%2e%2e/team/keys/a",
        "file:///public/%2E%2E/team/keys/a",
        "file:///public/.%2e/a",
        "file:///public%2f..%2fteam",
        "file:///public/..%5cteam",
        "file:///public\\..\\team",
        "file:////team/keys/a",
        "file:///public//a",
        "FILE:///public/a",
        "File:///public/a",
        "file:///public/%61",
        "file:///public/%7e",
        "file:///public/%c3%a9",
        "file:///public/%252e%252e/a",
        "file:///public/%00",
        "file:///public/%0a",
        "file:///public/%",
        "file:///public/%2",
        "file:///public/%zz",
        "file://HOST/public/a",
        "file:///public/a b",
        "file:///public/\n",
        "file:///public/\x00",
        "file:///public/é",
        "/public/a",
        "",
        "x",
        "file://[/public",
    ],
)
def test_a_uri_that_may_mean_another_resource_needs_what_all_resources_need(uri: str) -> None:
    assert not is_settled(uri)
    assert policy().needs("resources/read", {"uri": uri}) == {"use", "files:read", "secrets"}


@pytest.mark.parametrize(
    "uri",
    ["file:///a/b", "file:///", "notes://today", "notes://a/b/", "https://a.example/x?q=../y#z", "urn:isbn:1", "memo:x",
     "file:///a%20b", "file:///a/%C3%A9", "file:///a/{name}", "db://table/1;v=2", "file:///a/...", "file:///a/.b"],
)  # fmt: skip
def test_a_uri_in_normal_form_is_matched(uri: str) -> None:
    assert is_settled(uri)


def test_lists_hold_what_the_principal_may_use_and_are_theirs_alone() -> None:
    tools = [{"name": name, "x": 1} for name in ("search", "delete", "file_list", "other")]
    result: dict[str, Any] = {"tools": tools, "nextCursor": "c", "ttlMs": 5, "cacheScope": "public"}
    seen = policy().filtered(who("use"), "tools/list", result)
    assert [one["name"] for one in seen["tools"]] == ["search", "other"]
    assert (seen["nextCursor"], seen["ttlMs"], seen["cacheScope"]) == ("c", 5, "private")
    assert result["cacheScope"] == "public"
    assert len(result["tools"]) == 4
    everything = policy().filtered(who("admin", "audit"), "tools/list", result)
    assert everything["tools"] == tools
    assert everything["cacheScope"] == "private"


@pytest.mark.parametrize(
    ("method", "member", "key", "names", "kept"),
    [
        ("prompts/list", "prompts", "name", ["a", "b"], []),
        (
            "resources/list", "resources", "uri",
            ["file:///public/a", "file:///team/a", "file:///public/../x"], ["file:///public/a"],
        ),
        (
            "resources/templates/list", "resourceTemplates", "uriTemplate",
            ["file:///public/{x}", "file:///team/{x}", "{+any}"], ["file:///public/{x}"],
        ),
    ],
)  # fmt: skip
def test_every_kind_of_list_is_filtered(method: str, member: str, key: str, names: list[str], kept: list[str]) -> None:
    result = {member: [*({key: name} for name in names), {"other": 1}, 5]}
    assert [one[key] for one in policy().filtered(who("use"), method, result)[member]] == kept


def test_without_rules_a_list_is_left_as_it_is() -> None:
    result: dict[str, Any] = {"tools": [{"name": "a"}, {}], "cacheScope": "public"}
    assert policy('required = ["use"]').filtered(who(), "tools/list", result) is result
    assert policy().filtered(who(), "tools/call", result) is result
    odd: dict[str, Any] = {"tools": "none", "cacheScope": "public"}
    assert policy().filtered(who(), "tools/list", odd) == {"tools": "none", "cacheScope": "private"}


def test_an_empty_table_asks_for_nothing() -> None:
    empty = policy("")
    assert empty.is_empty
    assert empty.may(who(), "tools/call", {"name": "x"}) is ALLOWED
    assert not policy().is_empty
    assert policy().advertised == {"use", "files:read"}
    assert policy('required = ["a"]').advertised == {"a"}


@given(st.lists(st.sampled_from(["search", "delete", "file_a", "a_secret"])), st.sets(st.sampled_from(
    ["use", "admin", "files:read", "files:write", "audit", "secrets"])))  # fmt: skip
def test_what_is_on_a_list_can_be_called_and_nothing_else_can(names: list[str], scopes: set[str]) -> None:
    principal = who("use", *scopes)
    seen = policy().filtered(principal, "tools/list", {"tools": [{"name": name} for name in names]})
    callable_ = [name for name in names if policy().may(principal, "tools/call", {"name": name}) is ALLOWED]
    assert [one["name"] for one in seen["tools"]] == callable_


@given(st.lists(st.sampled_from(["a", "b", "*"])).map("".join), st.text("ab"))
@example("a*a", "a")
@example("ab*ba", "aba")
@example("*a*a", "a")
@example("a*", "a")
def test_patterns_match_as_the_slow_way_would(pattern: str, name: str) -> None:
    def slow(pattern: str, name: str) -> bool:
        if not pattern:
            return not name
        if pattern[0] == "*":
            return slow(pattern[1:], name) or (bool(name) and slow(pattern, name[1:]))
        return bool(name) and name[0] == pattern[0] and slow(pattern[1:], name[1:])

    assert matches(pattern, name) == slow(pattern, name)


def test_a_name_made_to_be_hard_to_match_is_judged_before_the_test_times_out() -> None:
    """Backtracking over this would take longer than anybody waits."""
    assert not matches("*a*a*a*a*a*a*a*b", "a" * 4_000_000)


def test_a_call_about_more_resources_than_are_judged_one_by_one_needs_what_all_need() -> None:
    few = ["file:///public/a"] * 256
    for uris, needed in ((few, {"use"}), ([*few, "file:///public/b"], {"use", "files:read", "secrets"})):
        params = {"notifications": {"resourceSubscriptions": uris}}
        assert policy().needs("subscriptions/listen", params) == needed


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("requierd = []", "scopes.requierd: no such key; did you mean required?"),
        ('required = "use"', "scopes.required: 'use': expected a list of scopes"),
        ("required = [1]", "scopes.required"),
        ('required = ["a b"]', "scopes.required"),
        ("tools = []", "scopes.tools: []: expected a table"),
        ('[tools]\nx = "a"', 'scopes.tools."x"'),
        ('[methods]\n"tools/cal" = []', 'scopes.methods."tools/cal": no such method; did you mean tools/call?'),
        ('[implies]\n"a b" = ["c"]', 'scopes.implies."a b": is no scope'),
        ('[implies]\na = ["b"]\nb = ["a"]', 'scopes.implies."a": implies itself'),
        ('[implies]\na = ["a"]', 'scopes.implies."a": implies itself'),
        ('[resources]\n"file:///a/../b" = []', 'scopes.resources."file:///a/../b": not a URI in its normal form'),
        ('[resources]\n"FILE:///a/*" = []', "not a URI in its normal form"),
        ('[tools]\n"*********" = []', "more than 8 stars"),
        ('required = ["offline_access"]', "offline_access"),
        (
            'known = ["files:read"]\n[tools]\nx = ["file:read"]',
            "scopes.tools.\"x\": 'file:read' is not among the known scopes; did you mean files:read?",
        ),
        ('known = ["a"]\nrequired = ["zzz"]', "expected one of a"),
        ('known = ["a"]\n[implies]\nadnim = ["a"]', "scopes.implies: 'adnim' is not among"),
    ],
)
def test_a_mistake_in_the_table_is_told_with_what_was_meant(text: str, told: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        policy(text)
    assert told in str(refused.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(SettingsInvalid) as refused:
        policy('requierd = []\nrequired = [1]\n[methods]\n"x/y" = []\n[tools]\nz = 5\n[implies]\na = ["a"]')
    assert len(refused.value.problems) == 5
    assert {one.origin for one in refused.value.problems} == {"portside.toml"}
