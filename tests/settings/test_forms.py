"""What the text of a setting may look like: sizes, durations, switches, lists, networks, keys."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from portside.errors import SettingsInvalid
from portside.settings.model import Settings
from portside.settings.sources import load

FACTORS = {
    "": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "kB": 1000, "MB": 10**6, "GB": 10**9,
}  # fmt: skip
LARGEST_SIZE = 2**40
LONGEST_MS = 7 * 24 * 3600 * 1000
KEY = bytes(range(32))
OTHER_KEY = bytes(range(32, 64))

sure = hypothesis_settings(derandomize=True, deadline=None, max_examples=150)


def read(**environ: str) -> Settings:
    return load({"MCP_ENV": "development", **environ}).settings


def refusal(**environ: str) -> str:
    with pytest.raises(SettingsInvalid) as caught:
        read(**environ)
    return str(caught.value)


@sure
@given(count=st.integers(1, 1023), unit=st.sampled_from(sorted(FACTORS)), space=st.sampled_from(["", " "]))
def test_a_size_is_its_number_times_its_unit(count: int, unit: str, space: str) -> None:
    assert read(PORTSIDE_MAX_BODY_BYTES=f"{count}{space}{unit}").max_body_bytes == count * FACTORS[unit]


@sure
@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12))
def test_any_text_is_a_size_within_bounds_or_refused_with_the_accepted_form(text: str) -> None:
    try:
        assert 1 <= read(PORTSIDE_MAX_BODY_BYTES=text).max_body_bytes <= LARGEST_SIZE
    except SettingsInvalid as error:
        assert "expected bytes, as 4194304 or 4MiB" in str(error)


@pytest.mark.parametrize(
    "text", ["4 mib", "4M", "-1", "0", "1.5MiB", "MiB", "4194304 bytes", "1_000", "2GiBx", "9" * 5000, "1025GiB"]
)
def test_what_only_resembles_a_size_is_refused(text: str) -> None:
    assert "expected bytes" in refusal(PORTSIDE_MAX_BODY_BYTES=text)


@sure
@given(st.integers(-(10**12), 10**12))
def test_a_duration_is_a_whole_number_of_milliseconds_up_to_a_week(value: int) -> None:
    if 1 <= value <= LONGEST_MS:
        assert read(PORTSIDE_CALL_TIMEOUT_MS=str(value)).call_timeout_ms == value
    else:
        assert "expected milliseconds" in refusal(PORTSIDE_CALL_TIMEOUT_MS=str(value))


@pytest.mark.parametrize("text", ["3000.0", "3_000", "3e3", "0x10", "65536", "-1", "", " ", "true"])
def test_what_only_resembles_a_port_is_refused(text: str) -> None:
    assert f"MCP_PORT={text!r}: expected a port, 0 to 65535" in refusal(MCP_PORT=text)


@sure
@given(
    st.lists(st.from_regex(r"[a-z][a-z0-9.-]{0,20}(:[1-9][0-9]{0,3})?", fullmatch=True)), st.sampled_from([",", " , "])
)
def test_a_list_keeps_its_items_in_order_without_the_space_around_them(items: list[str], comma: str) -> None:
    assert read(PORTSIDE_ALLOWED_HOSTS=comma.join(items)).allowed_hosts == tuple(items)


@sure
@given(st.lists(st.ip_addresses() | st.ip_addresses(v=4).map(lambda one: f"{one}/24"), min_size=1))
def test_every_address_and_network_may_be_trusted(networks: list[Any]) -> None:
    texts = tuple(str(one) for one in networks)
    assert read(PORTSIDE_TRUSTED_PROXIES=",".join(texts)).trusted_proxies == texts


def test_everybody_among_trusted_proxies_is_written_as_networks() -> None:
    assert read(PORTSIDE_TRUSTED_PROXIES="*").trusted_proxies == ("0.0.0.0/0", "::/0")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORTSIDE_TRUSTED_PROXIES", "10.0.0.0/33"),
        ("PORTSIDE_TRUSTED_PROXIES", "proxy.local"),
        ("PORTSIDE_ALLOWED_HOSTS", "https://a.com"),
        ("PORTSIDE_ALLOWED_ORIGINS", "app.example.com"),
        ("PORTSIDE_ALLOWED_ORIGINS", "https://a.com/path"),
        ("PORTSIDE_PUBLIC_URL", "ftp://a.com"),
        ("PORTSIDE_PUBLIC_URL", "https://a.com?x=1"),
        ("PORTSIDE_PUBLIC_URL", "https://a.com/#top"),
        ("PORTSIDE_PUBLIC_URL", "https://a.com:99999"),
        ("PORTSIDE_HEALTH_CHECKS", "module.function"),
        ("PORTSIDE_DATA_DIR", ""),
        ("SERVER_ID", "a b"),
        ("SERVER_ID", "a" * 64),
        ("MCP_HOST", "http://0.0.0.0"),
        ("METRICS_ENABLED", "perhaps"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_value_is_told_with_the_variable_and_its_origin(variable: str, value: str) -> None:
    message = refusal(**{variable: value})
    assert message.startswith(f"{variable}={value!r}: expected ")
    assert message.endswith(f"(from environment {variable})")


@pytest.mark.parametrize(("text", "expected"), [("TRUE", True), ("1", True), ("on", True), ("no", False), ("0", False)])
def test_a_switch_reads_the_usual_words(text: str, expected: bool) -> None:
    assert read(METRICS_ENABLED=text).metrics_enabled is expected


def test_a_word_of_choice_may_have_any_case() -> None:
    assert read(LOG_LEVEL="Warning").log_level == "warning"


@pytest.mark.parametrize("variable", ["PORTSIDE_PUBLIC_URL", "PORTSIDE_ALLOWED_HOSTS", "SERVER_ID", "ENCRYPTION_KEY"])
def test_an_empty_variable_leaves_what_is_optional_unset(variable: str) -> None:
    assert load({variable: ""}).settings == load({}).settings


@pytest.mark.parametrize(
    "text",
    [KEY.hex(), KEY.hex().upper(), base64.b64encode(KEY).decode(), base64.urlsafe_b64encode(KEY).decode().rstrip("=")],
)
def test_a_key_may_be_written_in_hex_or_base64(text: str) -> None:
    assert [key.reveal() for key in read(ENCRYPTION_KEY=text).encryption_keys] == [KEY]


def test_keys_with_ids_are_kept_newest_first() -> None:
    text = f"2026-11:{OTHER_KEY.hex()}, 2026-05:{KEY.hex()}"
    assert [key.reveal() for key in read(ENCRYPTION_KEY=text).encryption_keys] == [OTHER_KEY, KEY]


@pytest.mark.parametrize("text", ["changeme", "a" * 64, "short,alsoshort", f"{KEY.hex()},", "2026:"])
def test_a_short_or_regular_key_is_refused_without_being_told(text: str) -> None:
    message = refusal(ENCRYPTION_KEY=text)
    assert message.startswith("ENCRYPTION_KEY: expected at least 32 random bytes")
    assert text not in message
