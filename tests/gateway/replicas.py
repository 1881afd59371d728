"""Several replicas in one process, all on one shared state, and what their listeners hear."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from portside.auth.scopes import Policy
from portside.clock import SystemClock
from portside.gateway.guard import Guard
from portside.hosting.base import Host
from portside.state.base import News
from portside.state.connect import State, memory_state
from portside.wire.translate import members
from tests.gateway.wired import Response, Wired, fronted

SECRETS = (b"s" * 32,)


@asynccontextmanager
async def shared_state() -> AsyncGenerator[State]:
    """Yield state that several replicas share."""
    async with memory_state(SystemClock()) as state:
        yield replace(state, is_shared=True)


@asynccontextmanager
async def replica(
    host: Host, state: State, name: str, *, policy: Policy | None = None, news: News | None = None
) -> AsyncGenerator[Wired]:
    """Yield clients of one replica in front of a host that has not started; `news` in place of that of the state."""
    state = replace(state, news=news) if news is not None else state
    guard = Guard(policy) if policy is not None else None
    async with fronted(host, state=state, secrets=SECRETS, server_id=name, guard=guard) as clients:
        yield clients


async def listening(clients: Wired, wanted: dict[str, Any], *, id: int | str = 7, **more: Any) -> Response:
    """Return a subscription that was acknowledged."""
    stream = clients.modern("subscriptions/listen", {"notifications": wanted}, id=id, **more)
    acknowledged = (await stream.until(1))[0]
    assert acknowledged["method"] == "notifications/subscriptions/acknowledged", acknowledged
    return stream


def told(stream: Response) -> list[tuple[str, str | None]]:
    """Return what was announced on a stream so far: method without its prefix, and URI."""
    found: list[tuple[str, str | None]] = [
        (one.get("method", ""), members(one.get("params")).get("uri")) for one in stream.messages
    ]
    return [
        (method.removeprefix("notifications/"), uri)
        for method, uri in found
        if method.endswith(("list_changed", "updated"))
    ]
