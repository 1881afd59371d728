"""What a legacy session is, on paper: what the handshake settled."""

from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from portside.wire import revisions
from portside.wire.message import Message


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What a legacy session is, apart from the process that serves it.

    `initialize` holds the client's handshake parameters, so that another replica can repeat the handshake.
    `principal` is whoever opened it, None where nobody authenticates. `upstream` is what a server elsewhere, which
    keeps sessions itself, calls this one. Times are seconds since the epoch.
    """

    id: str
    revision: str
    initialize: dict[str, Any]
    principal: str | None
    created: float
    is_initialized: bool = False
    log_level: str | None = None
    upstream: str | None = None
    subscriptions: frozenset[str] = field(default_factory=frozenset[str])


META_UPSTREAM: Final = "io.portside/upstreamSession"
"""Where a hosted server's adapter says in its answer to `initialize` what the server calls the session."""


def settled(record: SessionRecord, result: dict[str, Any]) -> tuple[SessionRecord, dict[str, Any]]:
    """Return the record after a handshake, and the answer as its client may see it.

    The revision is the server's choice: an older one than asked for, where it knows no newer.
    """
    chosen, meta = result.get("protocolVersion"), result.get("_meta")
    if isinstance(chosen, str) and chosen in revisions.LEGACY:
        record = replace(record, revision=chosen)
    if isinstance(meta, dict) and META_UPSTREAM in meta:
        rest = {name: value for name, value in cast("dict[str, Any]", meta).items() if name != META_UPSTREAM}
        record = replace(record, upstream=str(cast("dict[str, Any]", meta)[META_UPSTREAM]))
        result = {name: value for name, value in result.items() if name != "_meta"} | ({"_meta": rest} if rest else {})
    return record, result


def learnt(record: SessionRecord, asked: Message) -> SessionRecord:
    """Return the record after a request that was granted; the same one where there is nothing to remember."""
    params = asked.params or {}
    if asked.method == "logging/setLevel" and isinstance(level := params.get("level"), str):
        return record if level == record.log_level else replace(record, log_level=level)
    if asked.method not in ("resources/subscribe", "resources/unsubscribe") or not isinstance(
        uri := params.get("uri"), str
    ):
        return record
    known = record.subscriptions
    wanted = known | {uri} if asked.method == "resources/subscribe" else known - {uri}
    return record if wanted == known else replace(record, subscriptions=wanted)
