"""Large bodies are read as strictly as small ones (the cases themselves: test_message.py)."""

import gc
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.wire import refusal, strict
from portside.wire.refusal import Refusal
from tests.wire.test_message import JSON

PADDING = b" " * strict.LARGE


def read(body: bytes) -> object:
    """Return the value, or the code of the refusal."""
    try:
        return repr(strict.decode(body))
    except Refusal as error:
        return error.code


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":2}',
        b'{"b":[{"a":1,"a":2}]}',
        b'{"a:":1,"a:":2}',
        b'{"a":":","a":1}',
        b'{"\\u003a":1,"\\u003a":2}',
        b'{"a":"\\u003a","a":1}',
        b'{"a":18446744073709551616}',
        b"[-9223372036854775809]",
        b'{"a":NaN}',
        b'{"a":1e999}',
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b"[" * 65 + b"]" * 65,
        b"[" * 100_000,
        b'{"a":1} x',
    ],
)
@pytest.mark.parametrize("padding", [b"", PADDING])
def test_what_is_not_strict_is_refused_in_a_body_of_any_size(body: bytes, padding: bytes) -> None:
    assert read(padding + body) == refusal.PARSE_ERROR


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":":","b":"::","c:":[":"]}',
        b'{"\\u003a":":","a":"\\u003a:"}',
        b'{"a":18446744073709551615,"b":-9223372036854775808,"c":"12345678901234567890123"}',
        b'{"a":0.12345678901234567890123}',
        b"[" * 64 + b"]" * 64,
        b'{"a":"\\ud83d\\ude00"}',
    ],
)
@pytest.mark.parametrize("padding", [b"", PADDING])
def test_what_is_strict_is_read_in_a_body_of_any_size(body: bytes, padding: bytes) -> None:
    assert strict.decode(padding + body) == json.loads(body)


@given(value=JSON)
def test_every_value_is_read_alike_whatever_the_size(value: object) -> None:
    body = json.dumps([value]).encode()
    assert read(body) == read(PADDING + body) == repr(json.loads(body))


@given(text=st.text(alphabet='{}[]",:\\ud8001e9.-truefalsn \n', max_size=60))
def test_noise_is_judged_alike_whatever_the_size(text: str) -> None:
    body = b"[" + text.encode()
    assert read(body) == read(PADDING + body)


def test_a_refusal_of_a_large_body_does_not_repeat_it() -> None:
    with pytest.raises(Refusal) as caught:
        strict.decode(PADDING + b'{"token":"hunter2" "x"}')
    assert "hunter2" not in caught.value.message


def test_garbage_is_collected_again_after_a_large_body() -> None:
    strict.decode(PADDING + b"[]")
    assert read(PADDING + b"[") == refusal.PARSE_ERROR
    assert gc.isenabled()


@pytest.mark.parametrize("value", [None, {}, {"a": [1, "text", {"b": None}]}, ["x" * 1000]])
def test_weight_is_about_the_length_of_the_json(value: object) -> None:
    length = len(json.dumps(value, separators=(",", ":")))
    assert length / 3 <= strict.weight(value) <= length * 3


def test_weighing_ends_where_enough_is_known() -> None:
    assert strict.LARGE <= strict.weight([["x" * strict.LARGE], *([1] * 10)]) < 2 * strict.LARGE
