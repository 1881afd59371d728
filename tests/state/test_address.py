"""The URL of Redis."""

from pathlib import Path

import pytest

from portside.state.redis.address import parse


@pytest.mark.parametrize(
    ("url", "places", "number", "user", "password"),
    [
        ("redis://cache", (("cache", 6379),), 0, None, None),
        ("redis://cache:7000/3", (("cache", 7000),), 3, None, None),
        ("redis://cache?db=4", (("cache", 6379),), 4, None, None),
        ("redis://:p%40ss@cache", (("cache", 6379),), 0, None, "p@ss"),
        ("redis://:p@ss@cache", (("cache", 6379),), 0, None, "p@ss"),
        ("redis://me:pass@[::1]:7000", (("::1", 7000),), 0, "me", "pass"),
        ("redis+sentinel://a,b:7001/main?db=2", (("a", 26379), ("b", 7001)), 2, None, None),
    ],
)
def test_what_a_url_says(
    url: str, places: tuple[tuple[str, int], ...], number: int, user: str | None, password: str | None
) -> None:
    address = parse(url)
    assert (address.places, address.number, address.user, address.password) == (places, number, user, password)
    assert address.master == ("main" if "sentinel" in url else None)


def test_a_password_of_its_own_wins() -> None:
    assert parse("redis://:old@cache", "new").password == "new"


def test_tls_is_in_the_scheme(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    address = parse(f"rediss://cache?ssl_ca_certs={tmp_path}/ca.pem")
    assert (address.is_tls, address.ca_file) == (True, f"{tmp_path}/ca.pem")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "cache:6379",
        "http://:hunter2@cache",
        "redis://",
        "redis://:hunter2@cache:0",
        "redis://:hunter2@cache:99999",
        "redis://:hunter2@cache:port",
        "redis://:hunter2@cache/name",
        "redis://:hunter2@cache/1/2",
        "redis://:hunter2@cache?socket_timeout=hunter2",
        "redis://:hunter2@a,b",
        "redis://:hunter2@cache?ssl_ca_certs=/etc/hosts",
        "rediss://:hunter2@cache?ssl_ca_certs=/nowhere.pem",
        "redis://cache?sentinel_password=hunter2",
        "redis+sentinel://:hunter2@a:1",
        "redis+sentinel://:hunter2@a:1/main?db=x",
        "redis://:hunter2/x@cache",
    ],
)
def test_a_url_that_makes_no_sense_is_an_error_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        parse(url)
    assert "hunter2" not in str(caught.value)


def test_an_address_shows_no_password() -> None:
    address = parse("redis+sentinel://me:hunter2@a/main?sentinel_password=hunter2")
    assert "hunter2" not in repr(address) + address.shown
    assert address.sentinel_password == "hunter2"
