"""What a server's tools say of themselves: whether a call may be run a second time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from portside.clock import Clock
from portside.errors import HostGone
from portside.hosting.base import Call, Link
from portside.hosting.translated.listed import SILENT
from portside.wire import classify, idempotency, message, revisions, translate_legacy
from portside.wire.message import Message
from portside.wire.translate import members

MayRerun = Callable[[Message, Call], Awaitable[bool]]
"""Says whether a request may be run a second time: it only reads, or doing it twice is doing it once."""

KEPT_S: Final = 5.0
"""How long a list is believed; it is asked for only where a call was interrupted, which is rare."""

LIST_S: Final = 10.0
MAX_PAGES: Final = 100
MAX_PRINCIPALS: Final = 1000
CHANGED: Final = "notifications/tools/list_changed"

REPEATABLE: Final = frozenset(
    {
        "completion/complete",
        "logging/setLevel",
        "ping",
        "prompts/get",
        "prompts/list",
        "resources/list",
        "resources/read",
        "resources/subscribe",
        "resources/templates/list",
        "resources/unsubscribe",
        "server/discover",
        "tasks/cancel",
        "tasks/get",
        "tools/list",
    }
)
"""Requests that only read, or that do the same done twice."""

_log = logging.getLogger("portside.gateway")


@dataclass(frozen=True, slots=True)
class _Kept:
    tools: Mapping[str, object]
    until: float


class Annotations:
    """The tools of a server as it lists them to each principal, asked for on a modern link when needed."""

    def __init__(self, link: Link, clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._kept: dict[str | None, _Kept] = {}
        self._listing: dict[str | None, asyncio.Task[_Kept]] = {}

    async def may_rerun(self, asked: Message, call: Call) -> bool:
        """Say whether running this request twice is as good as once: it reads, or its tool is annotated so.

        `readOnlyHint` or `idempotentHint` count (MCP, Tools, Annotations), and for a call with an idempotency key also
        `io.portside/usesIdempotencyKey`. A tool that is not listed, or a server that does not list, says no.
        """
        if asked.method != idempotency.CALL:
            return asked.method in REPEATABLE
        name: object = (asked.params or {}).get("name")
        tool = members((await self._tools(call)).get(name) if isinstance(name, str) else None)
        hints = members(tool.get("annotations"))
        if hints.get("readOnlyHint") is True or hints.get("idempotentHint") is True:
            return True
        has_key = idempotency.META in members((asked.params or {}).get("_meta"))
        return has_key and members(tool.get("_meta")).get(idempotency.USES) is True

    def hear(self, told: Message) -> None:
        """Drop what is kept where an announcement says that the tools have changed."""
        if told.method == CHANGED:
            self._kept.clear()
            self._listing.clear()

    async def _tools(self, call: Call) -> Mapping[str, object]:
        kept = self._kept.get(call.principal)
        if kept is not None and self._clock.monotonic() < kept.until:
            return kept.tools
        listing = self._listing.get(call.principal)
        if listing is None:
            listing = self._listing[call.principal] = asyncio.create_task(self._ask(call), name="tools-list")
        return (await asyncio.shield(listing)).tools

    async def _ask(self, call: Call) -> _Kept:
        asking = asyncio.current_task()
        tools: Mapping[str, object] = {}
        try:
            async with asyncio.timeout(LIST_S):
                tools = await self._list(call)
        except (HostGone, TimeoutError) as error:
            _log.warning("tools/list failed, so an interrupted call is not run again: %s", error)
        except Exception:
            # Whoever asks has an interrupted call to settle, whatever is wrong with the list.
            _log.exception("tools/list failed, so an interrupted call is not run again")
        kept = _Kept(tools, self._clock.monotonic() + KEPT_S)
        if self._listing.get(call.principal) is asking:
            del self._listing[call.principal]
            while len(self._kept) >= MAX_PRINCIPALS:
                del self._kept[next(iter(self._kept))]
            self._kept[call.principal] = kept
        return kept

    async def _list(self, call: Call) -> Mapping[str, object]:
        listing, envelope = _modern(call)
        found: dict[str, object] = {}
        params: dict[str, Any] = {"_meta": envelope}
        for page in range(MAX_PAGES):
            reply = await self._link.request(
                message.request(f"portside-list-{page}", "tools/list", params), SILENT, listing
            )
            if reply.result is None:
                raise HostGone(f"tools/list was refused: {members(reply.error).get('message')}")
            for tool in reply.result.get("tools") or ():
                found[str(members(tool).get("name"))] = members(tool)
            cursor = reply.result.get("nextCursor")
            if not isinstance(cursor, str):
                break
            params = {"_meta": envelope, "cursor": cursor}
        return found


def _modern(call: Call) -> tuple[Call, dict[str, Any]]:
    """Return the caller of either era as one who lists tools on a modern link, and the envelope to do it in."""
    is_modern = call.era == "modern"
    capabilities = call.capabilities if is_modern else translate_legacy.modern_capabilities(call.capabilities)
    revision = call.revision if is_modern else revisions.LATEST_MODERN
    envelope = {classify.META_REVISION: revision, classify.META_CAPABILITIES: capabilities or {}}
    listing = replace(
        call,
        era="modern",
        revision=revision,
        headers=(),
        capabilities=capabilities or {},
        client_info=None,
        close_stream=None,
        close_standalone=None,
    )
    return listing, envelope
