"""What a target may say, and what is said of one that says nothing sensible."""

from pathlib import Path

import pytest

from portside.errors import StartFailed
from portside.hosting.target import Target, parse


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("server.py", Target("server.py", "python", file=Path("server.py"))),
        ("a/server.py:build", Target("a/server.py:build", "python", file=Path("a/server.py"), name="build")),
        ("package.module", Target("package.module", "python", module="package.module")),
        ("package.module:mcp", Target("package.module:mcp", "python", module="package.module", name="mcp")),
        ("stdio:uvx a-server", Target("stdio:uvx a-server", "stdio", command=("uvx", "a-server"))),
        (
            "stdio:node 'my server.js' --db a=b",
            Target("stdio:node 'my server.js' --db a=b", "stdio", command=("node", "my server.js", "--db", "a=b")),
        ),
        (
            "https://mcp.example.com/mcp",
            Target("https://mcp.example.com/mcp", "upstream", url="https://mcp.example.com/mcp"),
        ),
        ("http://[::1]:3000/", Target("http://[::1]:3000/", "upstream", url="http://[::1]:3000/")),
    ],
)
def test_target_says_its_kind_and_where_to_look(text: str, target: Target) -> None:
    assert target == parse(text)


def test_query_of_a_url_is_kept_for_asking_and_left_out_of_messages() -> None:
    target = parse("https://example.com/mcp?token=hush")
    assert target.url == "https://example.com/mcp?token=hush"
    assert target.text == "https://example.com/mcp?…"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("server.py:not a name", "'not a name' is not a name in a module"),
        ("some thing", "'some thing' is not a target"),
        ("", "'' is not a target"),
        ("stdio:", "names no command"),
        ("stdio:   ", "names no command"),
        ("stdio:''", "names no command"),
        ("stdio:sh -c 'open", "cannot be taken apart: No closing quotation"),
        ("https://", "not the URL of an MCP server"),
        ("ftp://example.com/", "'ftp://example.com/' is not the URL of an MCP server"),
        ("https://example.com:99999/mcp", "the target is no URL"),
        ("https://exa mple.com/", "not the URL of an MCP server"),
        ("https://example.com/mcp#part", "a fragment"),
    ],
)
def test_text_that_is_no_target_is_refused_with_what_was_expected(text: str, told: str) -> None:
    with pytest.raises(StartFailed) as refused:
        parse(text)
    assert told in str(refused.value)
    assert "expected" in str(refused.value)


def test_credentials_in_a_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(StartFailed) as refused:
        parse("https://ann:hush@example.com/mcp")
    assert "example.com" in str(refused.value)
    assert "hush" not in str(refused.value)
