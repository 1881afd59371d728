"""What the gateway knows of HTTP: a request as plain values, and somewhere to write the response. No ASGI."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final, Protocol

import msgspec

from portside.auth.principal import Principal
from portside.observe.record import Record
from portside.state.base import Limit
from portside.wire.refusal import Refusal

JSON: Final = (b"content-type", b"application/json")

Headers = Sequence[tuple[bytes, bytes]]


def _nothing() -> None:
    return


class Incoming(msgspec.Struct, eq=False):
    """One HTTP request. `headers` holds the last value of each lower-case name; `release` gives its admission back.

    `principal` is the id of `identity`; both are None where nobody authenticates. `held` counts the calls it has begun,
    `limit` is the one the request was counted under. `is_relayed`: it came in at another replica.
    """

    method: str
    headers: Mapping[bytes, bytes]
    raw_headers: Headers
    body: bytes
    record: Record
    client: tuple[str, int] | None = None
    scheme: str = "http"
    path: str = "/mcp"
    principal: str | None = None
    identity: Principal | None = None
    held: int = 0
    limit: Limit | None = None
    is_relayed: bool = False
    release: Callable[[], None] = _nothing


class Outgoing(Protocol):
    """The response to one request: `start` once, `write` until `more` is False."""

    async def start(self, status: int, headers: Headers) -> None:
        """Send status and headers."""
        ...

    async def write(self, body: bytes, *, more: bool) -> None:
        """Send a part of the body. Waits while the client reads slowly; does nothing once it has left."""
        ...

    async def gone(self) -> None:
        """Return when the client has left."""
        ...


def accepts(incoming: Incoming, kind: bytes) -> bool:
    """Say whether the `Accept` header admits `application/json` or `text/event-stream`; absent means anything."""
    accept = incoming.headers.get(b"accept")
    return accept is None or _admits(accept, kind)


@lru_cache(maxsize=256)
def _admits(accept: bytes, kind: bytes) -> bool:
    offered = accept.lower()
    return b"*/*" in offered or kind in offered or kind.partition(b"/")[0] + b"/*" in offered


async def reply(out: Outgoing, status: int, body: bytes = b"", headers: Headers = ()) -> None:
    """Send a whole response; JSON where it has a body."""
    length = (b"content-length", str(len(body)).encode())
    await out.start(status, [JSON, length, *headers] if body else [length, *headers])
    await out.write(body, more=False)


async def refuse(out: Outgoing, record: Record, refusal: Refusal) -> None:
    """Answer with a refusal's JSON-RPC error; its id is null where none could be read (JSON-RPC 2.0 §5)."""
    record.outcome, record.error_code, record.error = "refused", refusal.code, refusal.message
    error: dict[str, object] = {"code": refusal.code, "message": refusal.message}
    if refusal.data is not None:
        error["data"] = refusal.data
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": refusal.id, "error": error})
    await reply(out, refusal.status, body, [(name.encode(), value.encode()) for name, value in refusal.headers.items()])
