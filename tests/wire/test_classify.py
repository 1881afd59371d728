"""The ladder that sorts messages by era and checks headers against bodies (MCP 2026-07-28, Streamable HTTP)."""

from typing import Any

import pytest

from portside.wire import classify, headers, message, refusal
from portside.wire.message import Message
from portside.wire.refusal import Refusal

META: dict[str, Any] = {classify.META_REVISION: "2026-07-28", classify.META_CAPABILITIES: {}}
GOOD = {
    b"mcp-protocol-version": b"2026-07-28",
    b"mcp-method": b"tools/call",
    b"mcp-name": b"add",
}


def call(**params: Any) -> Message:
    return message.request(1, "tools/call", {"name": "add", "_meta": META, **params})


def code_of(sent: Message, raw: dict[bytes, bytes]) -> tuple[int, int]:
    with pytest.raises(Refusal) as caught:
        classify.modern(sent, raw)
    assert caught.value.id == sent.id
    return caught.value.code, caught.value.status


def test_envelope_is_returned_when_headers_agree() -> None:
    envelope = classify.modern(call(), GOOD)
    assert (envelope.revision, envelope.capabilities, envelope.client) == ("2026-07-28", {}, None)


def test_the_body_decides_the_era_before_the_headers() -> None:
    assert classify.is_modern(call(), {})
    assert classify.is_modern(call(), {b"mcp-protocol-version": b"2025-11-25"})


def test_responses_are_legacy_whatever_the_headers_claim() -> None:
    assert not classify.is_modern(message.response(1, {}), GOOD)


def test_initialize_is_legacy_unless_it_names_a_modern_revision() -> None:
    hello = message.request(1, "initialize", {"protocolVersion": "2026-07-28"})
    assert not classify.is_modern(hello, {})
    assert not classify.is_modern(hello, {b"mcp-protocol-version": b"2099-01-01"})
    assert classify.is_modern(hello, {b"mcp-protocol-version": b"2026-07-28"})
    assert classify.is_modern(message.request(1, "initialize", {"_meta": META}), {})


def test_white_space_around_a_header_value_does_not_count() -> None:
    raw = {name: b" " + value + b"\t " for name, value in GOOD.items()}
    assert classify.modern(call(), raw).revision == "2026-07-28"


def test_without_an_envelope_the_version_header_tells() -> None:
    bare = message.request(1, "tools/list", {})
    assert classify.is_modern(bare, {b"mcp-protocol-version": b"2026-07-28"})
    assert classify.is_modern(bare, {b"mcp-protocol-version": b"2099-01-01"})
    assert not classify.is_modern(bare, {b"mcp-protocol-version": b"2025-11-25"})
    assert not classify.is_modern(bare, {})


@pytest.mark.parametrize("missing", [classify.META_REVISION, classify.META_CAPABILITIES])
def test_missing_envelope_member_is_invalid_params(missing: str) -> None:
    meta = {key: value for key, value in META.items() if key != missing}
    assert code_of(call(_meta=meta), GOOD) == (refusal.INVALID_PARAMS, 400)


@pytest.mark.parametrize("name", list(GOOD))
@pytest.mark.parametrize("value", [None, b"other", b""])
def test_missing_or_different_header_is_a_mismatch(name: bytes, value: bytes | None) -> None:
    raw = {key: old for key, old in GOOD.items() if key != name} | ({name: value} if value is not None else {})
    assert code_of(call(), raw) == (refusal.HEADER_MISMATCH, 400)


def test_a_client_that_disagrees_with_itself_is_told_so_before_its_revision_is_judged() -> None:
    sent = call(_meta=META | {classify.META_REVISION: "2099-01-01"})
    assert code_of(sent, GOOD) == (refusal.HEADER_MISMATCH, 400)


def test_unserved_revision_names_what_is_served() -> None:
    sent = call(_meta=META | {classify.META_REVISION: "2099-01-01"})
    with pytest.raises(Refusal) as caught:
        classify.modern(sent, GOOD | {b"mcp-protocol-version": b"2099-01-01"})
    assert caught.value.code == refusal.UNSUPPORTED_REVISION
    assert caught.value.data == {"supported": ["2026-07-28"], "requested": "2099-01-01"}


def test_encoded_names_are_compared_decoded() -> None:
    name = "größe"
    raw = GOOD | {b"mcp-name": headers.encode_value(name).encode()}
    assert classify.modern(call(name=name), raw).revision == "2026-07-28"


@pytest.mark.parametrize("value", ["=?base64?!!!?=", "=?base64?YQ?=", "=?base64?/w==?=", "=?base64?YR==?="])
def test_broken_or_non_canonical_encoding_matches_nothing(value: str) -> None:
    assert headers.decode_value(value) is None


@pytest.mark.parametrize("value", ["plain", "größe", " edge ", "", "=?base64?YQ==?=", "a\u0000b"])
def test_header_values_are_read_back(value: str) -> None:
    assert headers.decode_value(headers.encode_value(value)) == value


def test_legacy_revision_header_must_be_one_of_the_legacy_ones() -> None:
    sent = message.request(1, "tools/list", {})
    assert classify.legacy_revision(sent, {b"mcp-protocol-version": b"2025-06-18"}) == "2025-06-18"
    assert classify.legacy_revision(sent, {}) is None
    with pytest.raises(Refusal) as caught:
        classify.legacy_revision(message.response(1, {}), {b"mcp-protocol-version": b"1999-01-01"})
    assert caught.value.status == 400
