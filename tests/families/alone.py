"""Serves a fixture of SDK v1 or fastmcp 3 with its own SDK's HTTP app, without portside: FIXTURE PORT.

Run from the repository's root by the family's own interpreter, until SIGTERM.
"""
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
# The checker's environment has SDK v2, which names some of this differently.

import importlib
import sys
from typing import Any
from uuid import uuid4

import uvicorn
from mcp.server.streamable_http import EventMessage, EventStore
from starlette.responses import PlainTextResponse

RETRY_MS = 100


class Remembering(EventStore):
    """Keeps every event in memory for ever; unique event ids keep one session's resume apart from another's."""

    def __init__(self) -> None:
        self._events: dict[str, tuple[str, Any]] = {}

    async def store_event(self, stream_id: str, message: Any) -> str:
        event_id = uuid4().hex
        self._events[event_id] = (stream_id, message)
        return event_id

    async def replay_events_after(self, last_event_id: str, send_callback: Any) -> str | None:
        if last_event_id not in self._events:
            return None
        stream_id, _ = self._events[last_event_id]
        order = list(self._events)
        for event_id in order[order.index(last_event_id) + 1 :]:
            stream, message = self._events[event_id]
            if stream == stream_id and message is not None:
                await send_callback(EventMessage(message, event_id))
        return stream_id


async def _ready(request: Any) -> PlainTextResponse:
    return PlainTextResponse("ready")


def app(fixture: str) -> Any:
    """Return the SDK's own app of a fixture, with an event store and `/ready` beside it."""
    server: Any = importlib.import_module(f"tests.families.{fixture}").mcp
    if type(server).__module__.startswith("fastmcp."):
        built = server.http_app(event_store=Remembering(), retry_interval=RETRY_MS, host_origin_protection=True)
    else:
        server._event_store, server._retry_interval = Remembering(), RETRY_MS
        built = server.streamable_http_app()
    built.add_route("/ready", _ready)
    return built


if __name__ == "__main__":
    uvicorn.run(app(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", http="h11")
