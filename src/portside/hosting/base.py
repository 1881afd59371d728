"""The shape of a hosted server: a Host that opens Links, each a way to call it and to hear what it says meanwhile."""

from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from portside.wire.message import Message
from portside.wire.revisions import Era
from portside.wire.session import SessionRecord

MOVING: Final[ContextVar[bool]] = ContextVar("moving", default=False)
"""Whether the link that is being closed serves a session that goes on elsewhere: what others can use is not ended."""


@dataclass(slots=True)
class Call:
    """What an adapter needs to know of one exchange to set the hosted SDK's own context.

    `headers` are the raw request headers, names in lower case. `close_stream` ends the response stream of a legacy
    call early, so that its client reconnects and polls (SEP-1699); None where there is nothing to resume. `caller` is
    whoever asks as the layers above know them; adapters pass it on and never look inside.
    """

    era: Era
    revision: str
    headers: Sequence[tuple[bytes, bytes]] = ()
    capabilities: Any = None
    client_info: Any = None
    principal: str | None = None
    caller: object = None
    client: tuple[str, int] | None = None
    scheme: str = "http"
    path: str = "/mcp"
    close_stream: Callable[[], Awaitable[None]] | None = None
    close_standalone: Callable[[], Awaitable[None]] | None = None


class Back(Protocol):
    """What the hosted server may say on one channel: to the sender of a request, or on the connection as a whole."""

    async def notify(self, message: Message) -> None:
        """Pass a notification on, or drop it where nobody listens."""
        ...

    async def request(self, message: Message) -> Message:
        """Ask the client and return its response. Raises NoBackChannel where nobody can answer."""
        ...


class Link(Protocol):
    """A way to call a hosted server: one for each legacy session, one shared by all modern exchanges."""

    def is_plain(self, message: Message) -> bool:
        """Say whether the answer to this request needs no channel back, so that the asker's own task may run it."""
        ...

    async def request(self, message: Message, back: Back, call: Call) -> Message:
        """Return the response, an error answer included. Raises HostGone. Cancelling it cancels the call."""
        ...

    async def notify(self, message: Message, call: Call) -> None:
        """Hand over a notification; what the server makes of it is not told."""
        ...

    async def close(self) -> None:
        """Free what the link holds. May be called twice."""
        ...


@dataclass(frozen=True, slots=True)
class Description:
    """What was found: for the start banner, `portside check` and the logs. `paths` maps a tool to how it is called.

    `eras` are those the server speaks itself, `translated` those portside speaks for it. A foreign server is not of
    this process: what it hands out for others to carry is sealed, and what it says may be kept is kept here. A server
    that `is_single` is one of many, each replica having its own: what one hands out goes back to that very one. One
    that `announces` says all it announces on the channel of its stateless link, whoever listens.
    """

    name: str
    family: str
    version: str
    eras: tuple[Era, ...]
    paths: dict[str, str] = field(default_factory=dict[str, str])
    notices: tuple[str, ...] = ()
    translated: tuple[Era, ...] = ()
    is_foreign: bool = False
    is_single: bool = False
    announces: bool = False


class Host(Protocol):
    """One MCP server, however it runs: a server object of this process, child processes, or a server far away."""

    @property
    def description(self) -> Description:
        """What this server is; known once it has started."""
        ...

    @property
    def routes(self) -> Sequence[Any]:
        """Starlette routes the server brings beside MCP."""
        ...

    async def start(self) -> None:
        """Make the server ready to be called. Raises StartFailed, also where it brings what cannot be honoured."""
        ...

    async def open(self, session: SessionRecord | None, back: Back) -> Link:
        """Return a link for a legacy session, or for stateless exchanges where `session` is None.

        `back` is the connection's own channel, for what the server says outside any request. Raises HostGone.
        """
        ...

    async def ping(self) -> None:
        """Return where the server still answers; raises HostGone where it does not."""
        ...

    async def close(self) -> None:
        """End the server, or the use of it. May be called twice."""
        ...
