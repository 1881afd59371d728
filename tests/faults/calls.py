"""The calls of the load, as bytes in both eras; each carries an id of its own that its tool leaves behind."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from tests.journeys.raw import META, get, post

Tool = Literal["add", "effect", "effect_idempotent", "slow", "slow_read"]

LEGACY: Final = "2025-11-25"
_MODERN: Final = "2026-07-28"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of `seconds` in `steps`. `number` is unique in a load, `id` for ever; `attempt` counts re-issues."""

    number: int
    id: str
    tool: Tool
    seconds: float = 0.0
    steps: int = 0
    attempt: int = 0

    @property
    def request_id(self) -> int:
        """The JSON-RPC id: another one each time the call is sent."""
        return self.number + self.attempt * 10_000_000

    @property
    def expected(self) -> str:
        """The text of the right result."""
        return str(self.number + 1) if self.tool == "add" else self.id

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What the tool is given."""
        match self.tool:
            case "add":
                return {"a": self.number, "b": 1}
            case "slow" | "slow_read":
                return {"id": self.id, "seconds": self.seconds, "steps": self.steps}
            case _:
                return {"id": self.id, "seconds": self.seconds}


def request(call: Call, session: str | None, *, key: str | None = None) -> bytes:
    """Return the POST of a call: legacy within a session, modern without one; `key` makes a re-issue the same call."""
    meta: dict[str, Any] = {"progressToken": call.id} if call.steps else {}
    params: dict[str, Any] = {"name": call.tool, "arguments": dict(call.arguments)}
    headers = {} if key is None else {"Idempotency-Key": f'"{key}"'}
    if session is None:
        meta = {**META, **meta}
        headers |= {"MCP-Protocol-Version": _MODERN, "Mcp-Method": "tools/call", "Mcp-Name": call.tool}
    else:
        headers |= of_session(session)
    if meta:
        params["_meta"] = meta
    return post({"jsonrpc": "2.0", "id": call.request_id, "method": "tools/call", "params": params}, headers)


def of_session(session: str) -> dict[str, str]:
    """Return the headers of a request within a legacy session."""
    return {"MCP-Protocol-Version": LEGACY, "Mcp-Session-Id": session}


def resume(session: str, last_event_id: str) -> bytes:
    """Return the GET that asks for what followed an event."""
    accept = {"Accept": "text/event-stream", "Last-Event-ID": last_event_id}
    return get("/mcp", {**of_session(session), **accept})


def initialize() -> bytes:
    """Return the request that opens a legacy session."""
    hello = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "load", "version": "1"}}
    return post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello})


def initialized(session: str) -> bytes:
    """Return the notification that ends the handshake."""
    return post({"jsonrpc": "2.0", "method": "notifications/initialized"}, of_session(session))


def answers(data: str, request_id: int) -> bool:
    """Return whether an event's data is the answer to the request with this id."""
    if not data.startswith("{"):
        return False
    message = json.loads(data)
    return message.get("id") == request_id and "method" not in message
