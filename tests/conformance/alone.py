"""Serves a fixture with its own SDK's HTTP app, without portside: what the scores are compared with."""

import argparse
import importlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import uvicorn
from mcp.server.streamable_http import EventCallback, EventId, EventMessage, EventStore, StreamId
from mcp_types import JSONRPCMessage
from starlette.requests import Request
from starlette.responses import PlainTextResponse

RETRY_MS = 100


class Remembering(EventStore):
    """Keeps every event in memory for ever; unique event ids keep one session's resume apart from another's."""

    def __init__(self) -> None:
        self._events: dict[EventId, tuple[StreamId, JSONRPCMessage | None]] = {}

    async def store_event(self, stream_id: StreamId, message: JSONRPCMessage | None) -> EventId:
        event_id = uuid4().hex
        self._events[event_id] = (stream_id, message)
        return event_id

    async def replay_events_after(self, last_event_id: EventId, send_callback: EventCallback) -> StreamId | None:
        if last_event_id not in self._events:
            return None
        stream_id, _ = self._events[last_event_id]
        order = list(self._events)
        for event_id in order[order.index(last_event_id) + 1 :]:
            stream, message = self._events[event_id]
            if stream == stream_id and message is not None:
                await send_callback(EventMessage(message, event_id))
        return stream_id


async def _ready(request: Request) -> PlainTextResponse:
    return PlainTextResponse("ready")


def app(fixture: str) -> Callable[..., Awaitable[Any]]:
    """Return the SDK's own app of a fixture, with an event store and `/ready` beside it."""
    server: Any = importlib.import_module(fixture).mcp
    if type(server).__module__.startswith("fastmcp."):
        built = server.http_app(event_store=Remembering(), retry_interval=RETRY_MS, host_origin_protection=True)
    else:
        built = server.streamable_http_app(event_store=Remembering(), retry_interval=RETRY_MS)
    built.add_route("/ready", _ready)
    return built


def main() -> None:
    """Serve one of the fixtures beside this file on the loopback until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fixture", choices=sorted(path.stem for path in Path(__file__).parent.glob("fixture_*.py")))
    parser.add_argument("--port", type=int, required=True)
    chosen = parser.parse_args()
    uvicorn.run(app(chosen.fixture), host="127.0.0.1", port=chosen.port, log_level="warning", http="h11")


if __name__ == "__main__":
    main()
