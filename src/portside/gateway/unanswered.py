"""The calls that a stream has still to answer, as a note for the replica that may have to go on with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from portside.gateway.annotations import MayRerun
from portside.hosting.base import Call
from portside.wire import message
from portside.wire.message import Message

MAX_BODY_BYTES: Final = 256 * 1024
"""Longer requests are not kept, and so not run again."""


class _Kept(msgspec.Struct, omit_defaults=True):
    id: str | int
    method: str
    params: dict[str, Any] | None = None
    may_rerun: bool = False


class _Note(msgspec.Struct):
    v: int
    calls: list[_Kept]


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Requests in the order in which they must be answered, and whether each may be run again."""

    calls: tuple[tuple[Message, bool], ...]

    def encode(self) -> bytes:
        """Return the note. What must not run again goes without its arguments: nobody needs to know them."""
        return msgspec.json.encode(_Note(1, [_kept(asked, may_rerun) for asked, may_rerun in self.calls]))

    @classmethod
    def decode(cls, note: bytes) -> "Unanswered | None":
        """Return what a note says; None for one that no release up to this one has written."""
        try:
            read = msgspec.json.decode(note, type=_Note)
        except msgspec.DecodeError:
            return None
        if read.v != 1:
            return None
        return cls(tuple((message.request(one.id, one.method, one.params), one.may_rerun) for one in read.calls))


async def note(asked: Sequence[Message], call: Call, may_rerun: MayRerun) -> bytes:
    """Return what another replica needs to know to go on with these requests."""
    return Unanswered(tuple([(one, await may_rerun(one, call)) for one in asked])).encode()


def _kept(asked: Message, may_rerun: bool) -> _Kept:
    id_ = asked.id if asked.id is not None else ""
    if not may_rerun or len(msgspec.json.encode(asked.params)) > MAX_BODY_BYTES:
        return _Kept(id_, asked.method)
    return _Kept(id_, asked.method, asked.params, may_rerun=True)
