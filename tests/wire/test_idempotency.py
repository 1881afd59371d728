"""The key of a call, in both its places (draft-ietf-httpapi-idempotency-key-header; RFC 8941 §3.3.3; the rest ours)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.wire import idempotency, message
from portside.wire.message import Message
from portside.wire.refusal import Refusal

KEYS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=255)


def call(meta: object = None, method: str = "tools/call") -> Message:
    params: dict[str, Any] = {"name": "buy", "arguments": {}}
    return message.request(1, method, params if meta is None else {**params, "_meta": meta})


def checked(sent: Message, header: bytes | None = None) -> str | None:
    idempotency.check(sent, {} if header is None else {idempotency.HEADER: header})
    return idempotency.key_of(sent)


def quoted(key: str) -> bytes:
    return b'"' + key.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'


@given(key=KEYS)
def test_a_quoted_header_says_what_its_client_meant(key: str) -> None:
    assert checked(call(), quoted(key)) == key


@given(key=KEYS)
def test_the_same_key_in_both_places_is_one(key: str) -> None:
    assert checked(call({idempotency.META: key, "other": 1}), quoted(key)) == key


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (b"8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        (b' "a b" ', "a b"),
        (b'"a";v=1;w="x;y"; z', "a"),
        (b"pi_3/x+=:~", "pi_3/x+=:~"),
    ],
)
def test_other_spellings_are_read(header: bytes, key: str) -> None:
    assert checked(call(), header) == key


@pytest.mark.parametrize(
    "header",
    [b"", b'""', b'"a', b'a"', b"a b", b"a,b", b'"a", "b"', b'"\\a"', b'"a" x', "é".encode(), b'"\x7f"', b"a;b"],
)
def test_a_header_of_another_form_is_refused(header: bytes) -> None:
    with pytest.raises(Refusal, match="Idempotency-Key header must be") as raised:
        checked(call(), header)
    assert (raised.value.status, raised.value.id) == (400, 1)


@pytest.mark.parametrize("size", [256, 10_000])
def test_a_key_that_is_too_long_is_refused_wherever_it_is(size: int) -> None:
    for sent, header in [
        (call(), b"x" * size),
        (call(), quoted("x" * size)),
        (call({idempotency.META: "x" * size}), None),
    ]:
        with pytest.raises(Refusal, match="1 to 255"):
            checked(sent, header)


@pytest.mark.parametrize("key", [5, None, "", "é", "a\nb", ["a"]])
def test_a_key_in_the_body_that_is_no_such_text_is_refused(key: object) -> None:
    with pytest.raises(Refusal, match=r"idempotencyKey'\] must be a string"):
        checked(call({idempotency.META: key}))


def test_places_that_disagree_are_refused() -> None:
    with pytest.raises(Refusal, match="different keys") as raised:
        checked(call({idempotency.META: "a"}), b'"b"')
    assert raised.value.status == 400


def test_the_headers_key_is_put_into_the_body_that_goes_on() -> None:
    sent = call({"progressToken": 1})
    sent.raw = b"{}"
    checked(sent, b'"a"')
    assert (sent.params or {})["_meta"] == {"progressToken": 1, idempotency.META: "a"}
    assert (sent.raw, (sent.params or {})["name"]) == (b"", "buy")


def test_a_call_without_a_key_is_left_as_it_came() -> None:
    sent = call({"progressToken": 1})
    params, sent.raw = sent.params, b"{}"
    assert checked(sent) is None
    assert sent.params is params
    assert sent.raw == b"{}"


@pytest.mark.parametrize("method", ["tools/list", "resources/read", "notifications/initialized"])
def test_keys_of_other_requests_mean_nothing(method: str) -> None:
    assert checked(call({idempotency.META: 5}, method), b"a,b") is None


def test_a_body_whose_meta_is_no_object_cannot_take_the_headers_key() -> None:
    with pytest.raises(Refusal, match="must be an object"):
        checked(call(5), b'"a"')
    assert checked(call(5)) is None


def test_a_batch_has_keys_in_its_bodies_alone() -> None:
    batch = (call({idempotency.META: "a"}), call())
    idempotency.check(batch, {})
    with pytest.raises(Refusal, match="in a batch"):
        idempotency.check(batch, {idempotency.HEADER: b'"a"'})
    with pytest.raises(Refusal, match="must be a string"):
        idempotency.check((call({idempotency.META: 5}),), {})
