"""Database URLs: which are accepted, what the others are told, and that no password is ever told."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.errors import SettingsInvalid
from portside.records import address

PASSWORD = "hunter2-canary"


@pytest.mark.parametrize(
    ("url", "dsn"),
    [
        ("postgresql://u:p@h/d", "postgresql://u:p@h/d?application_name=portside"),
        ("postgres://u:p@h:5433/d", "postgresql://u:p@h:5433/d?application_name=portside"),
        ("postgresql+psycopg2://h/d", "postgresql://h/d?application_name=portside"),
        (" postgresql://h/d\n", "postgresql://h/d?application_name=portside"),
        ("postgresql://h", "postgresql://h?application_name=portside"),
        ("postgresql://[::1]:5432/d", "postgresql://[::1]:5432/d?application_name=portside"),
        ("postgresql://a:1,b:2/d", "postgresql://a:1,b:2/d?application_name=portside"),
        ("postgresql:///d?host=/run", "postgresql:///d?application_name=portside&host=%2Frun"),
        ("postgresql://h/d?sslmode=require", "postgresql://h/d?application_name=portside&sslmode=require"),
        ("postgresql://h/d?application_name=mine", "postgresql://h/d?application_name=mine"),
        ("postgresql://h/d?pgbouncer=true", "postgresql://h/d?application_name=portside"),
    ],
)
def test_a_postgresql_url_is_read_as_libpq_would(url: str, dsn: str) -> None:
    assert address.parse(url).dialect == "postgresql"
    assert address.parse(url).dsn == dsn


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///data/portside.db", "data/portside.db"),
        ("sqlite:////var/lib/portside.db", "/var/lib/portside.db"),
        ("sqlite+aiosqlite:///a b/100%.db", "a b/100%.db"),
    ],
)
def test_a_sqlite_url_is_a_path(url: str, path: str) -> None:
    assert address.parse(url).dialect == "sqlite"
    assert address.parse(url).path == Path(path)


def test_the_default_is_in_a_folder_of_its_own(tmp_path: Path) -> None:
    assert address.parse(address.default(tmp_path)).path == tmp_path / "records" / "portside.db"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "expected postgresql://"),
        ("portside.db", "expected postgresql://"),
        (f"mysql://u:{PASSWORD}@h/d", "mysql:// is not supported"),
        (f"POSTGRESQL://u:{PASSWORD}@h/d", "expected postgresql://"),
        (f"postgresql:u:{PASSWORD}@h/d", "expected postgresql://"),
        ("postgresql://", "names no host"),
        (f"postgresql://u:{PASSWORD}@/d", "names no host"),
        (f"postgresql://u:{PASSWORD}@h:99999/d", "cannot be read"),
        (f"postgresql://u:{PASSWORD}@h:x/d", "cannot be read"),
        (f"postgresql://u:{PASSWORD}#@h/d", "cannot be read"),
        (f"postgresql://u:a/{PASSWORD}@h/d", "cannot be read"),
        (f"postgresql://u:a@{PASSWORD}@h/d", "cannot be read"),
        (f"postgresql://u:a?{PASSWORD}@h/d", "cannot be read"),
        ("sqlite://", "expected the path of a file"),
        ("sqlite:///", "expected the path of a file"),
        ("sqlite:///:memory:", "expected the path of a file"),
        ("sqlite:///data/", "expected the path of a file"),
        ("sqlite://data/portside.db", "expected the path of a file"),
        ("sqlite:///data/portside.db?mode=ro", "no options"),
    ],
)
def test_a_wrong_url_is_refused_without_its_password(url: str, told: str) -> None:
    with pytest.raises(SettingsInvalid) as raised:
        address.parse(url, name="PORTSIDE_DATABASE_URL")
    assert told in str(raised.value)
    assert "PORTSIDE_DATABASE_URL" in str(raised.value)
    assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        ("environment PORTSIDE_DATABASE_URL", "PORTSIDE_DATABASE_URL"),
        ("environment DATABASE_URL", "DATABASE_URL"),
        ("secret file /run/secrets/url", "PORTSIDE_DATABASE_URL"),
        ("default", "PORTSIDE_DATABASE_URL"),
    ],
)
def test_a_url_is_called_what_it_was_set_by(origin: str, name: str) -> None:
    assert address.set_by(origin) == name


@given(url=st.from_regex(r"\A(postgresql|postgres|sqlite|mysql)://[a-z:@/?#%\[\],0-9.&=]{0,40}\Z") | st.text())
def test_any_text_is_an_address_or_refused(url: str) -> None:
    try:
        address.parse(url)
    except SettingsInvalid as error:
        assert "DATABASE_URL" in str(error)


@given(password=st.text(st.characters(categories=["L", "N"]), min_size=12))
def test_a_password_shows_in_no_form_of_an_address(password: str) -> None:
    found = address.parse(f"postgresql://user:{password}@localhost/d?sslmode=disable")
    assert password not in f"{found} {found!r} {found.shown}"
    assert found.shown == "postgresql://user@localhost/d"
