"""A line of a child's stdout as messages: strict where it must be, and cheap."""

import re
from typing import Any, Final, Literal, cast

import msgspec
from msgspec import UNSET, UnsetType

from portside.hosting.stdio.lines import ENDS_BYTES, Oversized
from portside.wire.message import MAX_BATCH, Id, Kind, Message

_HEAD: Final = re.compile(
    rb'\s*\{\s*"jsonrpc"\s*:\s*"2\.0"\s*,\s*"id"\s*:\s*"?(\d{1,18})"?\s*,\s*"(?:result|error)"\s*:'
)
_TAIL: Final = re.compile(rb',\s*"id"\s*:\s*"?(\d{1,18})"?\s*\}\s*\Z')
_RESULT: Final = re.compile(rb'\s*\{\s*"(?:result|error)"\s*:')


class Malformed(ValueError):
    """A line that is no JSON-RPC message. `id` is what it seems to answer, None where that cannot be told."""

    def __init__(self, reason: str, id: Id | None = None) -> None:
        super().__init__(reason)
        self.id = id


class _Envelope(msgspec.Struct):
    jsonrpc: Literal["2.0"]
    id: int | str | UnsetType | None = UNSET
    method: str | UnsetType = UNSET
    params: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


_decode_one: Final = msgspec.json.Decoder(_Envelope).decode
_decode_many: Final = msgspec.json.Decoder(list[_Envelope]).decode


def parse(line: bytes) -> tuple[Message, ...]:
    """Return the message in a line, or those of a batch. Raises Malformed, and nothing else, on any bytes."""
    try:
        if line.lstrip(b" \t").startswith(b"["):
            envelopes = _decode_many(line)
            if not 1 <= len(envelopes) <= MAX_BATCH:
                raise Malformed(f"a batch holds 1 to {MAX_BATCH} messages, not {len(envelopes)}")
            return tuple(_message(one) for one in envelopes)
        return (_message(_decode_one(line)),)
    except Malformed:
        raise
    except msgspec.ValidationError as error:
        raise Malformed(str(error), _answered(line)) from None
    except (ValueError, RecursionError) as error:
        # Not even JSON, such as Python's NaN in an otherwise good answer.
        raise Malformed(str(error), _by_its_ends(line[:ENDS_BYTES], line[-ENDS_BYTES:])) from None


def answered(line: Oversized) -> int | None:
    """Return the id that a line too long to be read answers, None where its ends do not show it for certain.

    SDKs write the id either before the result or, as the last member, behind it. Inside a value the same bytes are
    quoted or followed by more than one closing bracket.
    """
    return _by_its_ends(line.head, line.tail)


def _by_its_ends(head: bytes, tail: bytes) -> int | None:
    found = _HEAD.match(head)
    if found is None and _RESULT.match(head):
        found = _TAIL.search(tail)
    return int(found[1]) if found is not None else None


def _message(envelope: _Envelope) -> Message:
    id_ = None if envelope.id is UNSET else envelope.id
    if envelope.method is not UNSET:
        if not envelope.method:
            raise Malformed('"method" must not be empty')
        if envelope.id is None or envelope.result is not None or envelope.error is not None:
            raise Malformed('a message with "method" has no null id, and neither "result" nor "error"')
        kind: Kind = "notification" if envelope.id is UNSET else "request"
        return Message(kind, id=id_, method=envelope.method, params=envelope.params)
    # A null beside the other member is no JSON-RPC, but some servers write it, and what they mean is plain.
    if (envelope.result is None) == (envelope.error is None) or envelope.id is UNSET:
        raise Malformed('expected "method", or an "id" with either "result" or "error"', id_)
    if envelope.error is None:
        return Message("response", id=id_, result=envelope.result)
    code = envelope.error.get("code")
    if type(code) is not int or not isinstance(envelope.error.get("message"), str):
        raise Malformed('"error" must have an integer "code" and a "message"', id_)
    return Message("response", id=id_, error=envelope.error)


def _answered(line: bytes) -> Id | None:
    """Return the id of valid JSON that looks like a response and is none."""
    try:
        value: object = msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return None
    body = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    id_ = body.get("id")
    return id_ if "method" not in body and isinstance(id_, int | str) and not isinstance(id_, bool) else None
