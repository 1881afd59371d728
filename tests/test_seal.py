"""Sealed bytes: opened by whom, and where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.seal import Box

OLD, NEW = b"o" * 32, b"n" * 32


@given(data=st.binary(), context=st.binary())
def test_what_was_sealed_opens_in_its_context(data: bytes, context: bytes) -> None:
    box = Box("test", [NEW])
    assert box.open(box.seal(data, context), context) == data


def test_another_context_opens_nothing() -> None:
    box = Box("test", [NEW])
    assert box.open(box.seal(b"data", b"here"), b"there") is None
    assert box.open(box.seal(b"data", b"here")) is None


def test_another_purpose_opens_nothing() -> None:
    assert Box("other", [NEW]).open(Box("test", [NEW]).seal(b"data")) is None


def test_every_key_opens_and_the_first_one_seals() -> None:
    both = Box("test", [NEW, OLD])
    assert both.open(Box("test", [OLD]).seal(b"data")) == b"data"
    assert Box("test", [NEW]).open(both.seal(b"data")) == b"data"
    assert Box("test", [OLD]).open(both.seal(b"data")) is None


@given(place=st.integers(min_value=0), flip=st.integers(1, 255))
def test_one_flipped_byte_opens_nothing(place: int, flip: int) -> None:
    box = Box("test", [NEW])
    sealed = bytearray(box.seal(b"some data", b"context"))
    sealed[place % len(sealed)] ^= flip
    assert box.open(bytes(sealed), b"context") is None


@given(made_up=st.binary(max_size=100))
def test_made_up_bytes_open_nothing(made_up: bytes) -> None:
    assert Box("test", [NEW]).open(made_up) is None


def test_the_same_data_never_looks_the_same() -> None:
    box = Box("test", [NEW])
    assert box.seal(b"data") != box.seal(b"data")


def test_no_secret_is_an_error() -> None:
    with pytest.raises(ValueError, match="no key to seal a test with"):
        Box("test", [])
