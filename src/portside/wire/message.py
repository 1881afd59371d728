"""One JSON-RPC message: strict parsing of what clients send, exact encoding of what they get."""

from typing import Any, Final, Literal, cast

import msgspec

from portside.wire import refusal, strict
from portside.wire.refusal import Refusal

Id = str | int
Kind = Literal["request", "notification", "response"]

MAX_ID_BYTES: Final = 256
MAX_BATCH: Final = 100

decode: Final = strict.decode
"""Strict JSON of any kind, for whoever reads some that is no message."""

_encode = msgspec.json.Encoder().encode


class Message(msgspec.Struct, eq=False):
    """A parsed head and the raw bytes it came in, so that members nobody here understands survive.

    `params`, `result` and `error` are the decoded JSON values, None where absent. `raw` is empty if made here.
    """

    kind: Kind
    id: Id | None = None
    method: str = ""
    params: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    raw: bytes = b""

    def __repr__(self) -> str:
        what = self.method if self.kind != "response" else ("error" if self.error is not None else "result")
        return f"<Message {self.kind} {what} id={self.id!r}>"

    @property
    def size(self) -> int:
        """How many bytes it came in; about as many as its params have, up to `strict.LARGE`, where it was made here."""
        return len(self.raw) or strict.weight(self.params)

    def encode(self) -> bytes:
        """Return the message as one line of JSON, without line breaks (so that it fits one SSE `data:` field)."""
        body: dict[str, Any] = {"jsonrpc": "2.0"}
        if self.kind == "response":
            body["id"] = self.id
            if self.error is not None:
                body["error"] = self.error
            else:
                body["result"] = self.result
            return _encode(body)
        if self.kind == "request":
            body["id"] = self.id
        body["method"] = self.method
        if self.params is not None:
            body["params"] = self.params
        return _encode(body)


def request(id: Id, method: str, params: dict[str, Any] | None = None) -> Message:
    """Make a request."""
    return Message("request", id=id, method=method, params=params)


def notification(method: str, params: dict[str, Any] | None = None) -> Message:
    """Make a notification."""
    return Message("notification", method=method, params=params)


def response(id: Id | None, result: dict[str, Any]) -> Message:
    """Make the answer to a request."""
    return Message("response", id=id, result=result)


def failure(id: Id | None, code: int, message: str, data: Any = None) -> Message:
    """Make the error answer to a request."""
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return Message("response", id=id, error=error)


def parse(body: bytes) -> Message | tuple[Message, ...]:
    """Return the message in an HTTP body, or all messages of a batch.

    Raises Refusal: -32700 where the body is not strict JSON (RFC 8259, plus what interoperable parsers agree on:
    UTF-8 without BOM, no NaN, no duplicate keys, no lone surrogates, integers of 64 bits, at most 64 levels), -32600
    where it is JSON but no JSON-RPC 2.0 message with an id of at most 256 bytes.
    """
    value = strict.decode(body)
    if isinstance(value, list):
        items = cast("list[object]", value)
        if not 1 <= len(items) <= MAX_BATCH:
            raise Refusal(refusal.INVALID_REQUEST, f"a batch holds 1 to {MAX_BATCH} messages, not {len(items)}")
        return tuple(_message(item, b"") for item in items)
    return _message(value, body)


def _message(value: object, raw: bytes) -> Message:
    if not isinstance(value, dict):
        raise Refusal(refusal.INVALID_REQUEST, "the body must be one JSON-RPC message, a JSON object")
    body = cast("dict[str, Any]", value)
    id_ = _id(body) if "id" in body else None
    if body.get("jsonrpc") != "2.0":
        raise Refusal(refusal.INVALID_REQUEST, 'the member "jsonrpc" must be "2.0"', id=id_)
    if "method" in body:
        return _call(body, id_, raw)
    return _response(body, id_, raw)


def _id(body: dict[str, Any]) -> Id | None:
    value = body["id"]
    if isinstance(value, str):
        if len(value.encode("utf-8", "surrogatepass")) > MAX_ID_BYTES:
            raise Refusal(refusal.INVALID_REQUEST, f'"id" is longer than {MAX_ID_BYTES} bytes')
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if value is None and "error" in body and "method" not in body:
        return None  # a peer that could not read our id (JSON-RPC 2.0 §5)
    raise Refusal(refusal.INVALID_REQUEST, '"id" must be a string or an integer')


def _call(body: dict[str, Any], id_: Id | None, raw: bytes) -> Message:
    method, params = body["method"], body.get("params")
    if not isinstance(method, str) or not method:
        raise Refusal(refusal.INVALID_REQUEST, '"method" must be a non-empty string', id=id_)
    if "result" in body or "error" in body:
        raise Refusal(refusal.INVALID_REQUEST, 'a message with "method" has neither "result" nor "error"', id=id_)
    if "params" in body and not isinstance(params, dict):
        raise Refusal(refusal.INVALID_REQUEST, '"params" must be an object', id=id_)
    kind: Kind = "request" if "id" in body else "notification"
    return Message(kind, id=id_, method=method, params=cast("dict[str, Any] | None", params), raw=raw)


def _response(body: dict[str, Any], id_: Id | None, raw: bytes) -> Message:
    result = cast("dict[str, Any] | None", body.get("result"))
    error = cast("dict[str, Any] | None", body.get("error"))
    if "id" not in body or ("result" in body) == ("error" in body):
        raise Refusal(refusal.INVALID_REQUEST, 'expected "method", or an "id" with either "result" or "error"', id=id_)
    if "result" in body and not isinstance(result, dict):
        raise Refusal(refusal.INVALID_REQUEST, '"result" must be an object', id=id_)
    if "error" in body and not _is_error(error):
        raise Refusal(
            refusal.INVALID_REQUEST, '"error" must be an object with an integer "code" and a "message"', id=id_
        )
    return Message("response", id=id_, result=result, error=error, raw=raw)


def _is_error(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    error = cast("dict[str, Any]", value)
    code = error.get("code")
    return isinstance(code, int) and not isinstance(code, bool) and isinstance(error.get("message"), str)
