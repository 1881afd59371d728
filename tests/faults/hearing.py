"""Listeners at every replica, and events at every replica: who hears what."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from portside.wire.sse import Event
from tests.faults.wire import Connections
from tests.journeys.raw import call, modern

_TIMEOUT_S = 20.0


async def heard_of(ports: Sequence[int], uris: Sequence[str]) -> Mapping[int, Sequence[str]]:
    """Listen to resources at every replica, touch each at one replica in turn, and return what each listener heard.

    That is sorted: what happens elsewhere comes a little later. Returns once all have heard everything, or after 20 s.
    """
    ways = {port: Connections(port) for port in ports}
    ready = {port: asyncio.Event() for port in ports}
    try:
        async with asyncio.TaskGroup() as group:
            hearing = {port: group.create_task(_hear(way, uris, ready[port])) for port, way in ways.items()}
            async with asyncio.timeout(_TIMEOUT_S):
                await asyncio.gather(*(one.wait() for one in ready.values()))
            for number, uri in enumerate(uris):
                answer = await ways[ports[number % len(ports)]].ask(call("touch_resource", {"uri": uri}), timeout_s=10)
                assert answer is not None
                assert answer.status == 200, answer
        return {port: task.result() for port, task in hearing.items()}
    finally:
        for way in ways.values():
            way.close()


async def _hear(way: Connections, uris: Sequence[str], ready: asyncio.Event) -> Sequence[str]:
    told: list[str] = []

    def is_last(event: Event) -> bool:
        message: dict[str, Any] = json.loads(event.data) if event.data else {}
        if message.get("method") == "notifications/subscriptions/acknowledged":
            ready.set()
        elif message.get("method") == "notifications/resources/updated":
            told.append(message["params"]["uri"])
        return set(told) >= set(uris)

    wanted = {"notifications": {"resourceSubscriptions": list(uris)}}
    await way.ask(modern("subscriptions/listen", wanted, id="ears"), timeout_s=_TIMEOUT_S, is_last=is_last)
    return sorted(told)
