"""URLs of upstreams: what is read from them, what is refused, and what is never repeated."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.errors import StartFailed
from portside.hosting.http import address as http_address


@pytest.mark.parametrize(
    ("url", "authority", "target", "port"),
    [
        ("http://example.com/mcp", "example.com", b"/mcp", 80),
        ("https://example.com", "example.com", b"/", 443),
        ("https://example.com:443/a/b?k=v", "example.com", b"/a/b?k=v", 443),
        ("http://example.com:8080/mcp/", "example.com:8080", b"/mcp/", 8080),
        ("http://[::1]:8000/mcp", "[::1]:8000", b"/mcp", 8000),
        ("http://[2001:db8::1]/mcp", "[2001:db8::1]", b"/mcp", 80),
        ("https://EXAMPLE.com/Käse", "example.com", b"/K%C3%A4se", 443),
        ("https://bücher.example/mcp", "xn--bcher-kva.example", b"/mcp", 443),
        ("https://example.com/a%2Fb", "example.com", b"/a%2Fb", 443),
    ],
)
def test_a_url_says_where_to_connect_and_what_to_ask_for(url: str, authority: str, target: bytes, port: int) -> None:
    address = http_address.parse(url)
    assert (authority, target, port) == (address.authority, address.target, address.port)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/mcp",
        "example.com/mcp",
        "http:///mcp",
        "http://example.com:0/mcp",
        "http://example.com:70000/mcp",
        "http://example.com/mcp#part",
        "http://exa mple.com/mcp",
        "http://example.com/m\r\ncp",
        "http://[::1/mcp",
    ],
)
def test_what_is_no_url_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(StartFailed):
        http_address.parse(url)


def test_a_password_in_a_url_is_refused_without_being_repeated() -> None:
    with pytest.raises(StartFailed) as caught:
        http_address.parse("https://user:hunter2@example.com/mcp")
    assert "example.com" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_query_is_asked_for_but_never_shown() -> None:
    address = http_address.parse("https://example.com/mcp?key=hunter2")
    assert b"hunter2" in address.target
    assert "hunter2" not in str(address)


@pytest.mark.parametrize(
    ("url", "is_loopback"),
    [("http://127.0.0.1/", True), ("http://[::1]/", True), ("http://localhost/", True), ("http://10.0.0.1/", False)],
)
def test_this_machine_is_told_from_others(url: str, is_loopback: bool) -> None:
    assert is_loopback is http_address.parse(url).is_loopback


@given(st.text())
def test_any_text_is_an_address_or_refused(url: str) -> None:
    try:
        address = http_address.parse(url)
    except StartFailed:
        return
    assert b"\r" not in address.target
    assert b"\n" not in address.target
    assert b" " not in address.target
