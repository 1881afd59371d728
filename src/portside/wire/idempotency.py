"""The idempotency key of a tool call: where its client puts it, what it looks like, and that both places agree."""

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from portside.wire import refusal
from portside.wire.message import Message
from portside.wire.refusal import Refusal

HEADER: Final = b"idempotency-key"
META: Final = "io.portside/idempotencyKey"
"""The member of `_meta` that holds the key: a client may put it there, and every server finds it there."""

USES: Final = "io.portside/usesIdempotencyKey"
"""The member of a tool's own `_meta` by which it says, with `true`, that it does a thing once for one key."""

CALL: Final = "tools/call"
MAX_LENGTH: Final = 255
EXPECTED: Final = f"1 to {MAX_LENGTH} printable ASCII characters"

_STRING: Final = r'"(?:[ !#-\[\]-~]|\\["\\])*"'
_PARAMETERS: Final = rf"(?:;[ ]*[a-z*][a-z0-9_.*-]*(?:=(?:{_STRING}|[^\s\",;]+))?)*"
_ITEM: Final = re.compile(rf"({_STRING}){_PARAMETERS}")
_BARE: Final = re.compile(r"[!#-+\--:<-\[\]-~]+")
_ESCAPE: Final = re.compile(r"\\(.)")


def key_of(asked: Message) -> str | None:
    """Return the key of a call whose header was checked; None without one. Raises Refusal (400)."""
    if asked.method != CALL or not asked.params:
        return None
    meta = asked.params.get("_meta")
    if not isinstance(meta, dict) or META not in meta:
        return None
    return _checked(cast("dict[str, Any]", meta)[META], f"params._meta[{META!r}]", asked)


def check(sent: Message | tuple[Message, ...], headers: Mapping[bytes, bytes]) -> None:
    """Check the keys of what a client sent, and put the header's key into `_meta`, for whoever gets the message next.

    Raises Refusal (400) for a key of another form, for a header and a `_meta` that disagree, and for a header on a
    batch, whose messages are several. Only calls of tools have keys: everything else may be run again.
    """
    raw = headers.get(HEADER)
    if isinstance(sent, tuple):
        _check_batch(sent, raw)
        return
    if sent.method != CALL or sent.kind != "request":
        return
    meta = sent.params.get("_meta") if sent.params else None
    if raw is None and (not isinstance(meta, dict) or META not in meta):
        return  # nearly every call
    named = key_of(sent)
    if raw is None:
        return
    key = read_header(raw, sent)
    if named is None:
        _put(sent, key)
    elif named != key:
        text = f"the Idempotency-Key header and params._meta[{META!r}] name different keys"
        raise Refusal(refusal.INVALID_REQUEST, text, id=sent.id)


def _check_batch(sent: tuple[Message, ...], raw: bytes | None) -> None:
    if raw is not None:
        text = f"an Idempotency-Key is the key of one call: in a batch, put each into its params._meta[{META!r}]"
        raise Refusal(refusal.INVALID_REQUEST, text)
    for one in sent:
        key_of(one)


def read_header(raw: bytes, sent: Message) -> str:
    """Return the key in an `Idempotency-Key` header. Raises Refusal (400).

    A string of RFC 8941, its parameters left aside (draft-ietf-httpapi-idempotency-key-header, The Idempotency-Key
    HTTP Request Header Field); or the same text without quotes, as many clients of older APIs send it.
    """
    text = raw.strip(b" \t").decode("latin-1")
    item = _ITEM.fullmatch(text)
    if item is not None:
        return _checked(_ESCAPE.sub(r"\1", item[1][1:-1]), "the Idempotency-Key header", sent)
    if _BARE.fullmatch(text) is None:
        text = f"the Idempotency-Key header must be a string in double quotes (RFC 8941), {EXPECTED}"
        raise Refusal(refusal.INVALID_REQUEST, text, id=sent.id)
    return _checked(text, "the Idempotency-Key header", sent)


def _checked(key: object, where: str, sent: Message) -> str:
    if isinstance(key, str) and 1 <= len(key) <= MAX_LENGTH and key.isascii() and key.isprintable():
        return key
    raise Refusal(refusal.INVALID_REQUEST, f"{where} must be a string of {EXPECTED}", id=sent.id)


def _put(sent: Message, key: str) -> None:
    params = sent.params or {}
    meta = params.get("_meta", {})
    if not isinstance(meta, dict):
        raise Refusal(refusal.INVALID_PARAMS, "params._meta must be an object", id=sent.id)
    sent.params = {**params, "_meta": {**cast("dict[str, Any]", meta), META: key}}
    sent.raw = b""  # what goes on is what is here now, not what came in
