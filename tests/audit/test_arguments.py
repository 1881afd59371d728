"""What goes on record of a call's arguments, policy by policy."""

import hashlib
from typing import Any

import msgspec
import pytest

from portside.audit.arguments import ArgumentPolicy, PathInvalid
from portside.audit.event import canonical
from portside.secret import Secret

KEY = Secret(bytes(32))
GIVEN: dict[str, Any] = {
    "to": "a@example.com",
    "password": "hunter2",
    "apiKey": "k",
    "nested": [{"access_token": "t", "body": "hello"}],
    "header": "Bearer abcdefghijkl",
}


def kept(policy: ArgumentPolicy, arguments: dict[str, Any] = GIVEN, name: str = "send_mail") -> Any:
    found = policy.keep(name, arguments)
    assert found is not None
    return msgspec.json.decode(found.value)


def test_none_keeps_nothing() -> None:
    assert ArgumentPolicy("none").keep("send_mail", GIVEN) is None


def test_no_arguments_leave_nothing() -> None:
    assert ArgumentPolicy("full").keep("send_mail", None) is None


def test_full_keeps_everything() -> None:
    assert kept(ArgumentPolicy("full")) == GIVEN


def test_redacted_masks_names_and_values_that_look_secret() -> None:
    assert kept(ArgumentPolicy("redacted")) == {
        "to": "a@example.com",
        "password": "********",
        "apiKey": "********",
        "nested": [{"access_token": "********", "body": "hello"}],
        "header": "********",
    }


def test_redacted_masks_secrets_wherever_they_stand() -> None:
    given = {"url": "postgresql://ann:hunter2@db/x", "psk_0123abcd_" + "A" * 49: 1, "note": "see Basic usage"}
    assert kept(ArgumentPolicy("redacted"), given) == {"url": "********", "********": 1, "note": "see Basic usage"}


@pytest.mark.parametrize("path", ["/nested/*/body", "/nested/0/body", "send_mail:/nested/*/body", "/nested/*/*"])
def test_redacted_masks_the_paths_that_were_named(path: str) -> None:
    assert kept(ArgumentPolicy("redacted", paths=(path,)))["nested"][0]["body"] == "********"


def test_a_path_of_another_tool_masks_nothing_here() -> None:
    assert kept(ArgumentPolicy("redacted", paths=("other:/to",)))["to"] == "a@example.com"


@pytest.mark.parametrize("path", ["", "to", "/", "tool:", "tool:to"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(PathInvalid, match="pointer"):
        ArgumentPolicy("redacted", paths=(path,))


def test_hashed_is_the_same_for_the_same_arguments_in_any_order() -> None:
    policy = ArgumentPolicy("hashed", key=KEY)
    one, two = policy.keep("t", {"a": 1, "b": 2}), policy.keep("t", {"b": 2, "a": 1})
    assert one is not None
    assert one == two
    assert one != policy.keep("t", {"a": 1, "b": 3})


def test_hashed_cannot_be_guessed_without_the_key() -> None:
    one = ArgumentPolicy("hashed", key=KEY).keep("t", {"pin": 1234})
    other = ArgumentPolicy("hashed", key=Secret(b"x" * 32)).keep("t", {"pin": 1234})
    assert one is not None
    assert other is not None
    assert one.digest != other.digest
    assert one.digest != hashlib.sha256(canonical({"pin": 1234})).hexdigest()


def test_hashed_without_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="no key"):
        ArgumentPolicy("hashed")


def test_arguments_past_the_limit_leave_their_size_and_digest() -> None:
    found = ArgumentPolicy("full", key=KEY, limit_bytes=100).keep("t", {"body": "x" * 1000})
    assert found is not None
    assert (found.size, bytes(found.value)) == (1011, b"")
    assert found.digest is not None
