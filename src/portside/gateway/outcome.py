"""How a call ended, as the ledger keeps it: which answers are outcomes, and how one is told again later."""

from typing import Any, Final

import msgspec

from portside.wire import message, refusal, translate, translate_legacy
from portside.wire.message import Message
from portside.wire.revisions import Era
from portside.wire.translate import members

UNKNOWN: Final = "the call was begun and interrupted; whether it was done, and what it did, is unknown"

_REFUSALS: Final = frozenset(
    {
        refusal.HEADER_MISMATCH,
        refusal.UNSUPPORTED_REVISION,
        refusal.NOT_READY,
        refusal.SERVER_BUSY,
        refusal.TOO_MANY,
        refusal.NOT_ALLOWED,
        refusal.NOT_RECORDED,
    }
)
_RETRY_REASONS: Final = frozenset({"invalid_request_state", "suspended_call_lost"})


class _Stored(msgspec.Struct, omit_defaults=True):
    v: int
    era: Era
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


def is_final(reply: Message) -> bool:
    """Say whether an answer ends its call: a question does not, nor does a refusal from before the tool was called.

    Codes that tools may raise themselves count as an end, or a tool could be run twice.
    """
    if reply.error is None:
        return not translate.is_input_required(reply.result)
    reason = members(reply.error.get("data")).get("reason")
    return reply.error.get("code") not in _REFUSALS and reason not in _RETRY_REASONS


def unknown(asked: Message) -> Message:
    """Return the answer to a call that was begun and of which nobody can say how it ended."""
    return message.failure(asked.id, refusal.OUTCOME_UNKNOWN, UNKNOWN)


def encode(reply: Message, era: Era, *, max_bytes: int) -> bytes:
    """Return an outcome for the ledger; one above `max_bytes` becomes the error that says so."""
    data = msgspec.json.encode(_Stored(1, era, reply.result, reply.error))
    if len(data) <= max_bytes:
        return data
    text = f"the call ended, but its result of {len(data)} bytes was not kept: more than the {max_bytes} allowed"
    short = message.failure(None, refusal.RESULT_TOO_LARGE, text)
    return msgspec.json.encode(_Stored(1, era, None, short.error))


def decode(data: bytes | None, asked: Message, era: Era) -> Message:
    """Return an outcome as the answer to a call that asks for it, in the words of that call's era.

    What cannot be read is an outcome too: the call was made, and is not made again.
    """
    try:
        stored = None if data is None else msgspec.json.decode(data, type=_Stored)
    except msgspec.DecodeError:
        stored = None
    if stored is None or stored.v != 1:
        return unknown(asked)
    return retold(Message("response", id=asked.id, result=stored.result, error=stored.error), stored.era, asked, era)


def retold(reply: Message, told: Era, asked: Message, era: Era) -> Message:
    """Return an answer that was given in the era `told` under the id and in the words of another call."""
    result = reply.result
    if result is not None and told != era:
        if era == "modern":
            result = {"resultType": "complete", **result}
        else:
            try:
                result = translate_legacy.legacy_result(asked.method, result)
            except ValueError as error:
                return message.failure(asked.id, refusal.INTERNAL_ERROR, str(error))
    return Message("response", id=asked.id, result=result, error=reply.error)
