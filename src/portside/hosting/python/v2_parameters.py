"""Checking arguments mirrored into headers against a tool's schema, for servers of the SDK v2 kernel."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from mcp.server import Server

from portside.clock import SystemClock
from portside.hosting.base import Call
from portside.hosting.translated.listed import CannotList, ListedTools, Listing
from portside.wire import parameters
from portside.wire.translate import members

_log = logging.getLogger("portside.hosting")


class MirroredArguments:
    """Knows what each tool's schema declares: by the server's own look-up, or by the list of its tools."""

    def __init__(self, low: Server[Any], list_tools: Callable[[Call], Awaitable[dict[str, object]]]) -> None:
        self._low = low
        self._list_tools = list_tools
        self._schemas: dict[str, tuple[object, tuple[parameters.Declared, ...]]] = {}
        self._listed = ListedTools(self._listing, SystemClock())

    def check(self, params: dict[str, Any], call: Call) -> Awaitable[None] | None:
        """Compare mirrored headers with the arguments of a `tools/call`. Raises Refusal -32020.

        What is returned has to be awaited; None where that is all.
        """
        look_up = getattr(self._low, "get_tool_input_schema", None)  # not in SDK 2.2
        if look_up is None:
            return self._listed.check(params, call)
        name = params.get("name")
        if isinstance(name, str):
            wanted = self._declared(name, look_up(name))
            if wanted:
                parameters.check(wanted, members(params.get("arguments")), call.headers)
        return None

    def _declared(self, name: str, schema: object) -> tuple[parameters.Declared, ...]:
        known = self._schemas.get(name)
        if known is None or known[0] is not schema:
            if len(self._schemas) >= 10_000:
                self._schemas.clear()
            known = self._schemas[name] = (schema, parameters.declared(schema))
        return known[1]

    async def _listing(self, call: Call) -> Listing:
        """Return the server's own list. Raises CannotList, as the SDK itself lets such calls go on."""
        try:
            return Listing(await self._list_tools(call))
        except Exception as error:
            raise CannotList(f"{type(error).__name__}: {error}") from error
