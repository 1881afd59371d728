"""The shape of what carries HTTP requests to an MCP server: over sockets, or inside this process."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from portside.errors import HostGone
from portside.hosting.base import Call

Headers = Sequence[tuple[bytes, bytes]]


class Unreachable(HostGone):
    """No connection came about, so nothing was sent; a later attempt may succeed."""


class Untrusted(HostGone):
    """The server's certificate is not one we accept; nothing was sent, and trying again changes nothing."""


class Dropped(HostGone):
    """The connection ended after the request was written and before any byte of an answer came."""


@dataclass(slots=True)
class Request:
    """One HTTP request. `headers`: lower-case names, without host, content-length and connection.

    `target` is path and query. `is_repeatable` allows a second sending where it is unknown whether the first arrived.
    `is_lasting` marks a response that stays open without an end in sight: it is silent for as long as it likes.
    `call` is whose request it is, where it is somebody's.
    """

    method: bytes
    target: bytes
    headers: Headers
    body: bytes = b""
    is_repeatable: bool = False
    is_lasting: bool = False
    call: Call | None = None


class Response(Protocol):
    """An answer whose head has come. `headers`: lower-case names; values of a repeated name are joined by a comma."""

    @property
    def status(self) -> int:
        """200 to 599: interim responses are passed over."""
        ...

    @property
    def headers(self) -> dict[bytes, bytes]:
        """The header fields."""
        ...

    async def read(self, limit_bytes: int) -> bytes:
        """Return the whole body. Raises HostGone where it is longer than `limit_bytes`, or breaks off."""
        ...

    async def chunk(self) -> bytes:
        """Return the next piece of the body as it comes, empty at its end. Raises HostGone where it breaks off."""
        ...

    def close(self) -> None:
        """Free what the response holds; an unfinished one is aborted, and its server told so. May be called twice."""
        ...


class Transport(Protocol):
    """What carries requests to one origin."""

    async def send(self, request: Request) -> Response:
        """Return the response once its head is here; whoever gets it closes it.

        Raises HostBusy or Unreachable where nothing was sent, HostGone where the outcome is unknown. Redirects are
        not followed. Cancelling it aborts the request.
        """
        ...

    async def close(self) -> None:
        """End all connections; what runs fails with HostGone. May be called twice."""
        ...
