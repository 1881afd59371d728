"""Strict parsing of what clients send (JSON-RPC 2.0, RFC 8259, and the bounds of reliability row B4)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.wire import message, refusal
from portside.wire.message import Message
from portside.wire.refusal import Refusal


def parsed(body: bytes) -> Message:
    sent = message.parse(body)
    assert isinstance(sent, Message)
    return sent


def refused(body: bytes) -> Refusal:
    with pytest.raises(Refusal) as caught:
        message.parse(body)
    return caught.value


def test_request_is_parsed_with_its_raw_bytes() -> None:
    body = b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a"},"future":1}'
    sent = parsed(body)
    assert (sent.kind, sent.id, sent.method, sent.params, sent.raw) == (
        "request",
        7,
        "tools/call",
        {"name": "a"},
        body,
    )


def test_message_without_id_is_a_notification() -> None:
    assert parsed(b'{"jsonrpc":"2.0","method":"notifications/initialized"}').kind == "notification"


def test_response_carries_result_or_error() -> None:
    assert parsed(b'{"jsonrpc":"2.0","id":"x","result":{}}').result == {}
    assert parsed(b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"m"}}').error == {"code": 1, "message": "m"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"nope",
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":1} x',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":-1e999}',
        b'{"a":1,"a":2}',
        b'{"b":{"a":1,"a":2}}',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xc0\xaf"}',
        b'\xef\xbb\xbf{"jsonrpc":"2.0","method":"a"}',
        '{"jsonrpc":"2.0","method":"a"}'.encode("utf-16"),
        '{"jsonrpc":"2.0","method":"a"}'.encode("utf-32-le"),
        b'{"a":"\\ud800"}',
        b'{"\\udfff":1}',
        b'{"a":"\\ud800\\u0041"}',
        b'{"a":"x\ny"}',
        b'{"a":"\x00"}',
        b'{"a":018}',
        b'{"a":+1}',
        b'{"a":0x10}',
        b'{"a":1.}',
        b'{"a":18446744073709551616}',
        b'{"a":-9223372036854775809}',
        b'{"a":' + b"9" * 5000 + b"}",
        b"[" * 65 + b"]" * 65,
        b'{"a":' * 70 + b"1" + b"}" * 70,
        b"[" * 100_000,
    ],
)
def test_what_is_not_strict_json_is_a_parse_error(body: bytes) -> None:
    error = refused(body)
    assert (error.code, error.status) == (refusal.PARSE_ERROR, 400)


@pytest.mark.parametrize(
    "body",
    [
        b"1",
        b'"x"',
        b"null",
        b"true",
        b"{}",
        b"[]",
        b"[1]",
        b'{"jsonrpc":"1.0","id":1,"method":"a"}',
        b'{"jsonrpc":2.0,"id":1,"method":"a"}',
        b'{"id":1,"method":"a"}',
        b'{"jsonrpc":"2.0","id":1}',
        b'{"jsonrpc":"2.0","id":1,"method":""}',
        b'{"jsonrpc":"2.0","id":1,"method":5}',
        b'{"jsonrpc":"2.0","id":null,"method":"a"}',
        b'{"jsonrpc":"2.0","id":true,"method":"a"}',
        b'{"jsonrpc":"2.0","id":1.5,"method":"a"}',
        b'{"jsonrpc":"2.0","id":[1],"method":"a"}',
        b'{"jsonrpc":"2.0","id":{"a":1},"method":"a"}',
        b'{"jsonrpc":"2.0","id":"' + b"x" * 257 + b'","method":"a"}',
        b'{"jsonrpc":"2.0","id":"' + ("é" * 129).encode() + b'","method":"a"}',
        b'{"jsonrpc":"2.0","id":1,"method":"a","params":[1]}',
        b'{"jsonrpc":"2.0","id":1,"method":"a","params":null}',
        b'{"jsonrpc":"2.0","id":1,"method":"a","params":"x"}',
        b'{"jsonrpc":"2.0","id":1,"method":"a","result":{}}',
        b'{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"m"}}',
        b'{"jsonrpc":"2.0","result":{}}',
        b'{"jsonrpc":"2.0","id":1,"result":5}',
        b'{"jsonrpc":"2.0","id":1,"error":"x"}',
        b'{"jsonrpc":"2.0","id":1,"error":{"code":"1","message":"m"}}',
        b'{"jsonrpc":"2.0","id":1,"error":{"code":1}}',
        b'{"jsonrpc":"2.0","id":null,"result":{}}',
        b"[" + b",".join([b'{"jsonrpc":"2.0","method":"a"}'] * 101) + b"]",
    ],
)
def test_what_is_json_but_no_message_is_an_invalid_request(body: bytes) -> None:
    error = refused(body)
    assert (error.code, error.status) == (refusal.INVALID_REQUEST, 400)


def test_refusal_names_the_id_where_it_could_be_read() -> None:
    assert refused(b'{"jsonrpc":"1.0","id":"k","method":"a"}').id == "k"


def test_sixty_four_levels_are_allowed_and_brackets_in_strings_do_not_count() -> None:
    deep = b'{"jsonrpc":"2.0","method":"a","params":{"x":' + b"[" * 62 + b"]" * 62 + b"}}"
    assert parsed(deep).method == "a"
    text = b'{"jsonrpc":"2.0","method":"a","params":{"x":"' + b"[" * 500 + b'\\"{"}}'
    assert parsed(text).method == "a"


def test_surrogate_pairs_and_escaped_backslashes_are_text() -> None:
    sent = parsed(b'{"jsonrpc":"2.0","method":"a","params":{"x":"\\ud83d\\ude00 \\\\ud800"}}')
    assert sent.params == {"x": "\U0001f600 \\ud800"}


def test_batch_is_parsed_message_by_message() -> None:
    batch = message.parse(b'[{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","method":"b"}]')
    assert isinstance(batch, tuple)
    assert [one.kind for one in batch] == ["request", "notification"]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), inner)
    ),
    max_leaves=20,
)


@given(params=st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), JSON, max_size=5))
def test_every_valid_request_survives_parsing_and_encoding(params: dict[str, object]) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "m", "params": params}).encode()
    sent = parsed(body)
    assert sent.params == params
    assert parsed(sent.encode()).params == params
    assert b"\n" not in sent.encode()


@given(body=st.binary(max_size=200))
def test_arbitrary_bytes_are_parsed_or_refused_and_nothing_else(body: bytes) -> None:
    try:
        message.parse(body)
    except Refusal as error:
        assert error.status == 400


@given(text=st.text(alphabet='{}[]",:\\ud8001e9.-truefalsn \n', max_size=60))
def test_json_like_noise_is_parsed_or_refused_and_nothing_else(text: str) -> None:
    try:
        message.parse(text.encode("utf-8", "replace"))
    except Refusal as error:
        assert error.code in (refusal.PARSE_ERROR, refusal.INVALID_REQUEST)
