"""Hosting fastmcp 3 servers: the SDK v1 session below, fastmcp's own middleware and visibility rules on every call."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from typing import Any, Final, Literal

from portside.hosting.base import Link
from portside.hosting.python.fastmcp_unserved import refuse_unserved
from portside.hosting.python.v1 import PythonV1Host, V1Link

_log = logging.getLogger("portside.hosting")

_context: Final[Any] = import_module("fastmcp.server.context")
_http: Final[Any] = import_module("fastmcp.server.http")
_low_level: Final[Any] = import_module("fastmcp.server.low_level")
_Tool: Final[Any] = import_module("fastmcp.tools").Tool


class FastmcpV3Host(PythonV1Host):
    """One fastmcp 3 object. fastmcp answers every call inside its own middleware chain."""

    def __init__(self, server: Any, *, sync_tools: Literal["thread", "loop"] = "thread") -> None:
        super().__init__(server, sync_tools=sync_tools, family="fastmcp 3", package="fastmcp")

    @property
    def session_base(self) -> type[Any]:
        """The session class of this family, which runs the middleware around the handshake."""
        return _low_level.MiddlewareServerSession

    def session_arguments(self) -> tuple[Any, ...]:
        """Return what the session class is made with: the server object comes first."""
        return (self.server, *super().session_arguments())

    def prepare(self, http: Any) -> None:
        """Say how the call came: fastmcp trusts whoever is on stdio, and would show them every component."""
        super().prepare(http)
        _context._current_transport.set("streamable-http")
        _http._current_http_request.set(http)

    def lifespan(self) -> AbstractAsyncContextManager[Any]:
        """Return the context manager that holds the server and everything mounted on it open."""
        return self._lifespans()

    @asynccontextmanager
    async def _lifespans(self) -> AsyncGenerator[Any]:
        async with self.server._lifespan_manager(), self.low.lifespan(self.low) as state:
            yield state

    def refuse_unserved(self) -> None:
        """Raise StartFailed where the object brings something that would be dropped in silence."""
        refuse_unserved(self.server, in_thread=self.in_thread)

    @property
    def routes(self) -> Sequence[Any]:
        """HTTP routes the object, and what is mounted on it, bring beside MCP (`@server.custom_route`)."""
        return list(self.server._get_additional_http_routes())

    def tool_names(self) -> Sequence[str]:
        """Return the object's own tools; what is mounted or proxied is only known once it is listed."""
        return [one.name for one in self.server._local_provider._components.values() if isinstance(one, _Tool)]

    def link(self, session: Any, id: str) -> Link:
        """Return the link of one session, with room for the tasks fastmcp keeps beside its calls."""
        return FastmcpV3Link(self, session, id)


class FastmcpV3Link(V1Link):
    """One legacy session and its background tasks."""

    def __init__(self, host: FastmcpV3Host, session: Any, id: str) -> None:
        super().__init__(host, session, id)
        self._background = Background()
        session._subscription_task_group = self._background

    async def close(self) -> None:
        await self._background.close()


class Background:
    """The tasks a session keeps running beside its calls, as fastmcp asks its session's task group to."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start_soon(
        self, function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any, name: object = None
    ) -> None:
        """Start a task; what it raises is logged."""
        task = asyncio.create_task(self._run(function, arguments), name=None if name is None else str(name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, function: Callable[..., Coroutine[Any, Any, Any]], arguments: tuple[Any, ...]) -> None:
        try:
            await function(*arguments)
        except Exception:
            _log.exception("background task of a session failed")

    async def close(self) -> None:
        """Cancel all of them and wait until they are gone."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
