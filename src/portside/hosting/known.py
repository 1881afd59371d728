"""What tools a caller may see, as their server listed them, with the schemas made ready to check arguments by."""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from typing import Final

import msgspec

from portside.clock import Clock
from portside.errors import HostGone
from portside.hosting.base import Call
from portside.hosting.translated.listed import CannotList, List
from portside.wire import schema
from portside.wire.schema import Checker, NotCheckable

LIST_S: Final = 10.0
"""How long a server may take to list its tools before calls go on without."""

MAX_LISTS: Final = 256

_log = logging.getLogger("portside.hosting")


class Tools:
    """One list of tools: input schemas by name."""

    def __init__(self, schemas: Mapping[str, object]) -> None:
        self.schemas = schemas
        self._checkers: dict[str, Checker | None] = {}

    def find(self, name: str) -> Checker | None:
        """Return what checks the arguments of a tool, None for one not listed or whose schema cannot be checked by."""
        if name in self._checkers:
            return self._checkers[name]
        if name not in self.schemas:
            return None
        try:
            found = schema.compile(self.schemas[name])
        except NotCheckable as error:
            _log.warning("arguments of %.100r are not checked against its schema: %s", name, error.message)
            found = None
        self._checkers[name] = found
        return found


class Lists:
    """All lists of one server: callers that see the same tools share them, compiled once."""

    def __init__(self) -> None:
        self._lists: dict[bytes, Tools] = {}

    def of(self, schemas: Mapping[str, object]) -> Tools:
        """Return the list of these schemas."""
        key = hashlib.sha256(msgspec.json.encode(schemas)).digest()
        tools = self._lists.pop(key, None) or Tools(schemas)
        self._lists[key] = tools
        if len(self._lists) > MAX_LISTS:
            del self._lists[next(iter(self._lists))]
        return tools


class Known:
    """The tools of one caller: listed when first needed, and again when they changed or somebody wants them newer."""

    def __init__(self, list_tools: List, lists: Lists, clock: Clock) -> None:
        self._list = list_tools
        self._lists = lists
        self._clock = clock
        self._tools: Tools | None = None
        self._listed_at = 0.0
        self._listing: asyncio.Task[Tools] | None = None

    def forget(self) -> None:
        """Drop what is known: the server has said that its tools changed."""
        self._tools = None
        self._listing = None

    async def tools(self, call: Call, *, newer_than_s: float | None = None) -> Tools:
        """Return the tools, listed at most so long ago where that is given; none where the server does not say."""
        tools, age_s = self._tools, self._clock.monotonic() - self._listed_at
        if tools is not None and (newer_than_s is None or age_s < newer_than_s):
            return tools
        if self._listing is None:
            self._listing = asyncio.create_task(self._ask(call), name="tools-list")
        return await asyncio.shield(self._listing)

    async def _ask(self, call: Call) -> Tools:
        asking = asyncio.current_task()
        tools = self._tools or Tools({})
        try:
            async with asyncio.timeout(LIST_S):
                tools = self._lists.of((await self._list(call)).schemas)
        except (CannotList, HostGone, TimeoutError) as error:
            # What is wrong with the server, the call itself will say.
            _log.debug("tools/list failed, so arguments are not checked: %s", error)
        except Exception:
            _log.exception("the tools that were listed cannot be read, so arguments are not checked")
        if self._listing is asking:
            self._listing = None
            self._tools, self._listed_at = tools, self._clock.monotonic()
        return tools
