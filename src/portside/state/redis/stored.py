"""A session's record as it is stored: JSON with a version, which a neighbouring release can read too."""

from typing import Any

import msgspec

from portside.wire.session import SessionRecord


class _Stored(msgspec.Struct, kw_only=True):
    """Members that are not known are ignored, and new ones need a default: two releases run side by side."""

    v: int = 1
    revision: str
    initialize: dict[str, Any]
    principal: str | None
    created: float
    is_initialized: bool = False
    log_level: str | None = None
    subscriptions: list[str] = []


def encoded(record: SessionRecord) -> bytes:
    """Return a record without its id, which whoever asks for it knows."""
    return msgspec.json.encode(
        _Stored(
            revision=record.revision,
            initialize=record.initialize,
            principal=record.principal,
            created=record.created,
            is_initialized=record.is_initialized,
            log_level=record.log_level,
            subscriptions=sorted(record.subscriptions),
        )
    )


def decoded(id: str, data: bytes) -> SessionRecord | None:
    """Return the record of a session, None where it is in a form that this release cannot read."""
    try:
        stored = msgspec.json.decode(data, type=_Stored)
    except msgspec.MsgspecError:
        return None
    return SessionRecord(
        id=id,
        revision=stored.revision,
        initialize=stored.initialize,
        principal=stored.principal,
        created=stored.created,
        is_initialized=stored.is_initialized,
        log_level=stored.log_level,
        subscriptions=frozenset(stored.subscriptions),
    )
