"""Several replicas in one process: each a gateway of its own, all on one shared state."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from portside.auth.scopes import Policy
from portside.clock import SystemClock
from portside.gateway import foreign
from portside.gateway.endpoint import Gateway
from portside.gateway.listeners import Listeners
from portside.gateway.options import Options
from portside.hosting.base import Host
from portside.state.base import News
from portside.state.connect import State, memory_state
from tests.gateway.wired import Response, Wired

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
    clock, options = SystemClock(), Options()
    listeners = Listeners(news or state.news, name, SECRETS, policy, clock)
    await host.start()
    link = await host.open(None, listeners.channel)
    front, link = foreign.guarded(host, link, SECRETS, clock, options.suspended_call_s, name, listeners.hooks)
    front, link = listeners.around(front, link)
    gateway = Gateway(front, link, state, options, clock, secrets=SECRETS, holder=name)
    await gateway.presence.open()
    await listeners.open()
    clients = Wired(gateway)
    try:
        yield clients
    finally:
        await gateway.end_streams()
        await listeners.close()
        await gateway.close()
        await host.close()


async def listening(clients: Wired, wanted: dict[str, Any], *, id: int | str = 7, **more: Any) -> Response:
    """Return a subscription that was acknowledged."""
    stream = clients.modern("subscriptions/listen", {"notifications": wanted}, id=id, **more)
    acknowledged = (await stream.until(1))[0]
    assert acknowledged["method"] == "notifications/subscriptions/acknowledged", acknowledged
    return stream


def told(stream: Response) -> list[tuple[str, str | None]]:
    """Return what was announced on a stream so far: method without its prefix, and URI."""
    messages: list[dict[str, Any]] = stream.messages
    found = [(str(one.get("method", "")), _uri(one)) for one in messages]
    return [
        (method.removeprefix("notifications/"), uri)
        for method, uri in found
        if method.endswith(("list_changed", "updated"))
    ]


def _uri(message: dict[str, Any]) -> str | None:
    params: dict[str, Any] = message.get("params") or {}
    return params.get("uri")
