"""Values that look like the right kind and are not."""

import pytest

from portside.errors import SettingsInvalid
from portside.settings.sources import load


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORTSIDE_ALLOWED_ORIGINS", "https://a.com/?q"),
        ("PORTSIDE_ALLOWED_ORIGINS", "https://b.com:99999"),
        ("PORTSIDE_ALLOWED_ORIGINS", "https://u:p@b.com"),
        ("PORTSIDE_ALLOWED_HOSTS", "a.com:99999"),
        ("PORTSIDE_PUBLIC_URL", "https://exa mple.com"),
        ("ENCRYPTION_KEY", "0123456789abcdef0123456789abcdef"),
    ],
)
def test_a_value_of_almost_the_right_kind_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsInvalid, match=name):
        load({name: value})


@pytest.mark.parametrize("name", ["MCP_TEST", "MCP_HOME", "MCP_ROOT", "MCP_DEV"])
def test_short_names_of_other_software_are_let_through(name: str) -> None:
    assert load({name: "x"}).settings.port == 3000
