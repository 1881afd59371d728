"""What looks like a secret is hidden, what does not is left as it is, and JSON stays JSON."""

import json
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.observe.mask import ANYBODYS, NAME_MAX, NAMES_KEPT, Mask

KEY: Final = "psk_0123abcd_" + "A" * 49
TOKEN: Final = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl-_Q"
PEM: Final = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEI/+A==\nabcd=\n-----END EC PRIVATE KEY-----"
LOCKED: Final = (
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0F\n\nMHcCAQ==\n"
    "-----END RSA PRIVATE KEY-----"
)
HIDDEN: Final = "********"
SEEN: Final = {
    f"a token {TOKEN}, no more": f"a token {HIDDEN}, no more",
    TOKEN.rpartition(".")[0]: HIDDEN,
    "eyJhbGciOiJkaXIifQ..aXY.dGV4dA.dGFn": HIDDEN,
    f"https://x.example/?access_token={TOKEN}&a=1": f"https://x.example/?access_token={HIDDEN}&a=1",
    f"({KEY})": f"({HIDDEN})",
    "Authorization: Bearer a|b.c:d_e~f": f"Authorization: Bearer {HIDDEN}",
    "{'authorization': 'bearer 0123456789'}": f"{{'authorization': 'bearer {HIDDEN}'}}",
    "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==": f"Basic {HIDDEN}",
    f"key {PEM} end": f"key {HIDDEN} end",
    LOCKED: HIDDEN,
    "-----BEGIN PRIVATE KEY-----\nMHcCAQEEI": HIDDEN,
    "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQVYBF\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----": HIDDEN,
    repr(PEM): f"'{HIDDEN}'",
    "postgresql://ann:hunter2@db/x": f"postgresql://ann:{HIDDEN}@db/x",
    "redis://:p@ss@cache:6379/0": f"redis://:{HIDDEN}@cache:6379/0",
}
ORDINARY: Final = (
    "echo",
    "see Basic usage, Basic Authentication and bearer tokens",
    "https://host:8080/path/@scope?to=a@b",
    "postgresql://ann@db/x",
    "-----BEGIN PUBLIC KEY-----\nMHcCAQ==\n-----END PUBLIC KEY-----",
    "a page at cursor eyJvZmZzZXQiOjEwfQ",
    "psk_short",
)


@pytest.mark.parametrize(("text", "expected"), SEEN.items())
def test_what_looks_secret_is_hidden_and_the_rest_stays(text: str, expected: str) -> None:
    assert ANYBODYS.text(text) == expected
    assert ANYBODYS.finds(text)


@pytest.mark.parametrize("text", SEEN)
def test_it_is_hidden_in_encoded_json_too(text: str) -> None:
    for value in (text, repr(text), json.dumps(text), f"line\n{text}\n\x08"):
        line = json.dumps({"before": "a", "value": value, "after": "b"})
        hidden = json.loads(ANYBODYS.line(line))
        assert (hidden["before"], hidden["after"]) == ("a", "b")
        assert hidden["value"] == ANYBODYS.text(value)


@pytest.mark.parametrize("text", ORDINARY)
def test_what_is_no_secret_stays(text: str) -> None:
    assert ANYBODYS.text(text) == text
    assert not ANYBODYS.finds(text)


def test_known_secrets_are_hidden_whatever_they_look_like() -> None:
    mask = Mask(['pa"ss\\wörd', 'longer-pa"ss', "short"])
    text = 'a pa"ss\\wörd, a longer-pa"ss and a short one'
    assert mask.text(text) == "a ********, a ******** and a short one"
    for line in (json.dumps([text]), json.dumps([text], ensure_ascii=False)):
        assert json.loads(mask.line(line)) == [mask.text(text)]


def test_a_known_secret_that_begins_like_an_escape_breaks_no_json() -> None:
    line = json.dumps(["\nabcdefgh", "nabcdefgh"])
    assert json.loads(Mask(["nabcdefgh"]).line(line)) == ["\nabcdefgh", HIDDEN]


PIECES: Final = (
    *("eyJ", ".", "psk_", "a" * 9, "Bearer ", "bearer ", "basic aB", "://", ":", "@", "/"),
    *("-----BEGIN PRIVATE KEY", "-----", "-----END ", " ", "n", "u00"),
    *("\\", '"', "'", "\n", "\x08", "\u2028", "\ud800"),
)
TEXTS: Final = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


@given(TEXTS)
def test_any_json_stays_json_of_the_same_shape(text: str) -> None:
    for line in (json.dumps({"a": text, "b": 1}), json.dumps({"a": text, "b": 1}, ensure_ascii=False)):
        found = json.loads(Mask(["aaaaaaaaa", '"\\"\\"\\"\\']).line(line))
        assert (list(found), found["b"]) == (["a", "b"], 1)


@given(TEXTS)
def test_hiding_twice_hides_no_more(text: str) -> None:
    once = ANYBODYS.text(text)
    assert ANYBODYS.text(once) == once
    assert ANYBODYS.finds(text) is (once != text)


def test_a_name_is_masked_as_any_text_however_often_it_is_asked_for() -> None:
    mask = Mask(["hunter2hunter2"])
    for name in ("echo", "say hunter2hunter2", KEY, "x" * NAME_MAX + KEY):
        assert mask.name(name) == mask.name(name) == mask.text(name)


def test_names_that_are_remembered_are_few() -> None:
    mask = Mask()
    for number in range(3 * NAMES_KEPT):
        assert mask.name(f"n{number}") == f"n{number}"
    mask.name("x" * (NAME_MAX + 1))
    assert len(mask._names) <= NAMES_KEPT  # pyright: ignore[reportPrivateUsage]
    assert all(len(name) <= NAME_MAX for name in mask._names)  # pyright: ignore[reportPrivateUsage]
