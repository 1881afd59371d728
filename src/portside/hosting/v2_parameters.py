"""Checking arguments mirrored into headers against a tool's schema, for servers of the SDK v2 kernel."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from mcp.server import Server

from portside.hosting.base import Call
from portside.wire import parameters
from portside.wire.headers import PARAM_PREFIX

LIST_KEPT_S: Final = 5.0

_log = logging.getLogger("portside.hosting")


class MirroredArguments:
    """Knows what each tool's schema declares: by the server's own look-up, or by the list of its tools."""

    def __init__(self, low: Server[Any], list_tools: Callable[[Call], Awaitable[dict[str, object]]]) -> None:
        self._low = low
        self._list_tools = list_tools
        self._schemas: dict[str, tuple[object, tuple[parameters.Declared, ...]]] = {}
        self._listed: tuple[float, dict[str, tuple[parameters.Declared, ...]]] | None = None

    async def check(self, params: dict[str, Any], call: Call) -> None:
        """Compare mirrored headers with the arguments of a `tools/call`. Raises Refusal -32020."""
        name, given = params.get("name"), params.get("arguments")
        if not isinstance(name, str):
            return
        arguments = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
        if self._low.get_tool_input_schema is not None:
            wanted = self._declared(name, self._low.get_tool_input_schema(name))
        elif arguments or any(header.startswith(PARAM_PREFIX) for header, _ in call.headers):
            wanted = await self._declared_in_list(name, call)
        else:
            return
        if wanted:
            parameters.check(wanted, arguments, call.headers)

    def _declared(self, name: str, schema: object) -> tuple[parameters.Declared, ...]:
        known = self._schemas.get(name)
        if known is None or known[0] is not schema:
            if len(self._schemas) >= 10_000:
                self._schemas.clear()
            known = self._schemas[name] = (schema, parameters.declared(schema))
        return known[1]

    async def _declared_in_list(self, name: str, call: Call) -> tuple[parameters.Declared, ...]:
        """Return what the server's own `tools/list` declares for a tool; the list is kept for a few seconds.

        A server that cannot list its tools has nothing to check against, so its calls go on, as with the SDK itself.
        """
        now = time.monotonic()
        if self._listed is None or now - self._listed[0] > LIST_KEPT_S:
            try:
                schemas = await self._list_tools(call)
            except Exception:
                _log.exception("tools/list failed; mirrored headers are not checked")
                schemas = {}
            self._listed = (now, {tool: parameters.declared(schema) for tool, schema in schemas.items()})
        return self._listed[1].get(name, ())
