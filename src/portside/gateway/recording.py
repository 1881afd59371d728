"""Calls on record: that one is let through, before it is, and what became of every request."""

import logging
from functools import partial
from typing import Any, Final, cast

from portside.audit.arguments import ArgumentPolicy
from portside.audit.base import AuditUnavailable
from portside.audit.event import of_request, of_start
from portside.audit.writer import Writer
from portside.gateway.http import Incoming
from portside.observe.record import Record
from portside.wire import refusal
from portside.wire.message import Message
from portside.wire.refusal import Refusal

ENDPOINT: Final = "/mcp"
TURNED_AWAY: Final = frozenset({401, 403})
"""Statuses that are on record wherever they were given: somebody tried."""

_log = logging.getLogger("portside.audit")


class Recorder:
    """Writes who did what. A call of a tool may change something: where `is_closed`, it waits until its start is kept.

    So whatever was answered is on record, also after `kill -9`: its start before it ran, its outcome soon after.
    """

    def __init__(self, writer: Writer, arguments: ArgumentPolicy, *, is_closed: bool) -> None:
        self._writer = writer
        self._arguments = arguments
        self._is_closed = is_closed

    async def start(self, sent: Message, incoming: Incoming) -> None:
        """Put the start of a call on record. Raises Refusal (503) where that cannot be done and must be."""
        params = sent.params or {}
        name: object = params.get("name")
        given: object = params.get("arguments")
        arguments = cast("dict[str, Any]", given) if isinstance(given, dict) else None
        tool = name if isinstance(name, str) else ""
        kept = self._arguments.keep(tool, arguments)
        event = partial(of_start, incoming.record, method=sent.method, name=tool, arguments=kept)
        try:
            await self._writer.append(event)
        except AuditUnavailable as error:
            _log.error("audit.not_recorded: %s", error.message)
            if self._is_closed:
                text = "the call could not be put on record, and was not made"
                raise Refusal(refusal.NOT_RECORDED, text, id=sent.id, headers={"retry-after": "5"}) from error

    def finish(self, record: Record) -> None:
        """Put on record what became of a request; a sink for records. Nobody waits for it."""
        is_mcp = record.route == ENDPOINT and (record.rpc_method is not None or record.outcome == "refused")
        if not is_mcp and record.status not in TURNED_AWAY:
            return
        try:
            self._writer.put(partial(of_request, record))
        except AuditUnavailable as error:
            _log.error("audit.not_recorded: %s", error.message)
