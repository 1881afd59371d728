"""Hosting objects of the official Python SDK v1, `FastMCP` and lowlevel `Server`, by direct call."""

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar, copy_context
from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final, Literal

from pydantic import ValidationError

from portside.errors import StartFailed
from portside.hosting.base import Back, Call, Description, Link
from portside.hosting.lifespan import Lifespan
from portside.hosting.python import v1_kernel
from portside.hosting.python.v1_kernel import Exchange
from portside.wire import message as messages
from portside.wire import refusal
from portside.wire.message import Message
from portside.wire.session import SessionRecord

_log = logging.getLogger("portside.hosting")

_sdk_log = logging.getLogger("mcp.server.lowlevel.server")

_to_thread: Final[Any] = import_module("anyio.to_thread")
_ServerSession: Final[Any] = import_module("mcp.server.session").ServerSession
_FastMCP: Final[Any] = import_module("mcp.server.fastmcp").FastMCP

_IGNORED: Final = {
    "stateless_http": "legacy clients get sessions",
    "json_response": "portside answers with JSON or a stream as the call needs",
    "max_request_body_size": "portside's own limit on bodies holds",
    "session_idle_timeout": "portside's own limits on sessions hold",
    "max_sessions": "portside's own limits on sessions hold",
    "streamable_http_path": "portside's own endpoint path holds",
    "host": "portside's own address holds",
    "port": "portside's own address holds",
}
"""Settings of FastMCP that portside decides itself, and what holds instead."""


class PythonV1Host:
    """One SDK v1 server object, its lifespan entered once, serving the legacy era."""

    def __init__(
        self,
        server: Any,
        *,
        sync_tools: Literal["thread", "loop"] = "thread",
        family: str = "official SDK v1",
        package: str = "mcp",
    ) -> None:
        self.server = server
        self.low: Any = getattr(server, "_mcp_server", server)
        self.in_thread = sync_tools == "thread"
        self.state: Any = None
        self._inherited: list[tuple[ContextVar[Any], Any]] = []
        self._tools: Any = getattr(server, "_tool_manager", None)
        self._family = f"{family} ({type(server).__name__})"
        self._version = version(package)
        self._lifespan: Lifespan[Any] | None = None
        self._session_kind = v1_kernel.session_kind(self.session_base)

    @property
    def session_base(self) -> type[Any]:
        """The session class of this family."""
        return _ServerSession

    def prepare(self, http: Any) -> None:
        """Set what the lifespan and the family keep in context variables; called at the start of every exchange."""
        for variable, value in self._inherited:
            variable.set(value)

    async def start(self) -> None:
        """Refuse what cannot be honoured and enter the server's lifespan. Raises StartFailed."""
        self.refuse_unserved()
        self.prepare(None)
        if _sdk_log.level == logging.NOTSET:
            _sdk_log.setLevel(logging.WARNING)  # a line for every request, which has its own line already
        self._lifespan = Lifespan(self._remembered())
        self.state = await self._lifespan.start()

    def lifespan(self) -> AbstractAsyncContextManager[Any]:
        """Return the context manager that holds the server open."""
        return self.low.lifespan(self.low)

    @asynccontextmanager
    async def _remembered(self) -> AsyncGenerator[Any]:
        """Enter the lifespan and keep the context variables it sets: the SDK runs its handlers in the same context."""
        before = copy_context()
        async with self.lifespan() as state:
            found = copy_context().items()
            self._inherited = [(name, value) for name, value in found if before.get(name, before) is not value]
            yield state

    def refuse_unserved(self) -> None:
        """Raise StartFailed where the object brings something that would be dropped in silence."""
        name = self.low.name
        settings = getattr(self.server, "settings", None)
        if settings is not None and (settings.auth is not None or self.server._token_verifier is not None):
            raise StartFailed(
                f"{name!r} brings its own authentication (FastMCP(auth=...)), which this version of portside does "
                "not run",
                hint="remove auth=, auth_server_provider= and token_verifier= and put an authenticating gateway in "
                "front",
            )
        if getattr(self.server, "_event_store", None) is not None:
            raise StartFailed(
                f"{name!r} brings its own event store (FastMCP(event_store=...)), which portside does not use",
                hint="remove event_store=: portside keeps the events of a session itself",
            )
        if getattr(self.low._experimental_handlers, "task_support", None) is not None:
            raise StartFailed(
                f"{name!r} uses the SDK's experimental tasks, which this version of portside does not run",
                hint="remove server.experimental.enable_tasks()",
            )

    @property
    def routes(self) -> Sequence[Any]:
        """HTTP routes the object brings beside MCP (`@server.custom_route`)."""
        return list(getattr(self.server, "_custom_starlette_routes", ()))

    @property
    def description(self) -> Description:
        return Description(
            name=self.low.name,
            family=self._family,
            version=self._version,
            eras=("legacy",),
            paths=dict.fromkeys(self.tool_names(), "kernel"),
            notices=self.notices(),
        )

    def tool_names(self) -> Sequence[str]:
        """Return the tools that are known without asking the server."""
        return [] if self._tools is None else list(self._tools._tools)

    def notices(self) -> tuple[str, ...]:
        """Say which of the object's own settings do not hold here."""
        settings = getattr(self.server, "settings", None)
        if settings is None:
            return ()
        usual = _FastMCP.__init__.__kwdefaults__
        return tuple(
            f"{name}={getattr(settings, name)!r} of the server is not used: {instead}"
            for name, instead in _IGNORED.items()
            if hasattr(settings, name) and getattr(settings, name) != usual.get(name)
        )

    async def open(self, session: SessionRecord | None, back: Back) -> Link:
        """Return a link for a legacy session. Raises StartFailed without one: this family has no stateless era."""
        if session is None:
            raise StartFailed(f"{self.low.name!r} serves sessions only", hint="open it behind a translating host")
        connection = self._session_kind(*self.session_arguments())
        connection.connect(back)
        return self.link(connection, session.id)

    def link(self, session: Any, id: str) -> Link:
        """Return the link of one session: the SDK's, and its id."""
        return V1Link(self, session, id)

    def session_arguments(self) -> tuple[Any, ...]:
        """Return what the family's session class is made with: no streams, and the server's own description."""
        return None, None, self.low.create_initialization_options()

    async def ping(self) -> None:
        """In process: whoever can ask is answered."""

    async def close(self) -> None:
        if self._lifespan is not None:
            lifespan, self._lifespan = self._lifespan, None
            await lifespan.stop()

    def free_loop(self, name: object) -> None:
        """Make a sync tool run in a worker thread; done when it is called, since tools may be added at any time."""
        if self._tools is None or not self.in_thread:
            return
        tool = self._tools._tools.get(name) if isinstance(name, str) else None
        if tool is not None and not tool.is_async:
            tool.fn, tool.is_async = _in_thread(tool.fn), True


class V1Link:
    """One legacy session: the SDK's session object, kept from handshake to close."""

    def __init__(self, host: PythonV1Host, session: Any, id: str) -> None:
        self._host = host
        self._session = session
        self._id = id

    def is_plain(self, message: Message) -> bool:
        """Only for `ping`: any handler of SDK v1 may reach its session and ask back."""
        return message.method == "ping"

    async def request(self, message: Message, back: Back, call: Call) -> Message:
        host = self._host
        http = v1_kernel.http_request(call, self._id)
        host.prepare(http)
        if not v1_kernel.is_request(message.method):
            return messages.failure(message.id, refusal.METHOD_NOT_FOUND, "Method not found")
        try:
            request = v1_kernel.parse_request(message)
        except Exception as error:
            return _invalid(message, error)
        if message.method == "tools/call":
            host.free_loop(request.root.params.name)
        exchange = Exchange(message, request, http, back, call)
        self._session.begin(exchange)
        try:
            return await self._answer(message, exchange)
        finally:
            self._session.end(exchange)

    async def _answer(self, message: Message, exchange: Exchange) -> Message:
        host, request = self._host, exchange.request
        try:
            await self._session._received_request(exchange)
        except Exception as error:  # above all: not initialized yet
            return _invalid(message, error)
        if exchange.answer is None:
            await host.low._handle_request(exchange, request.root, self._session, host.state, raise_exceptions=False)
        return exchange.reply()

    async def notify(self, message: Message, call: Call) -> None:
        self._host.prepare(v1_kernel.http_request(call, self._id))
        if message.method == "notifications/cancelled":
            return  # whoever cancels a call cancels `request`
        try:
            notification = v1_kernel.parse_notification(message)
            if notification is None:
                return
            if message.method == "notifications/progress":
                await self._session.progress(notification.root.params)
            await self._session._received_notification(notification)
            await self._host.low._handle_notification(notification.root)
        except Exception:
            _log.exception("notification handler failed: %s", message.method)

    async def close(self) -> None:
        """Nothing is held but memory."""


def _invalid(message: Message, error: Exception) -> Message:
    """Answer what could not be read, or came too early, word for word as the SDK does.

    Only what a middleware raised in the handshake is worth a traceback; the rest is the client's and may hold secrets.
    """
    trace = error if message.method == "initialize" and not isinstance(error, ValidationError) else None
    level = logging.INFO if trace is None else logging.ERROR
    _log.log(level, "request not accepted: %s: %s", message.method, type(error).__name__, exc_info=trace)
    return messages.failure(message.id, refusal.INVALID_PARAMS, "Invalid request parameters", "")


def _in_thread(function: Callable[..., Any]) -> Callable[..., Any]:
    async def call(**arguments: Any) -> Any:
        return await _to_thread.run_sync(partial(function, **arguments))

    return call
