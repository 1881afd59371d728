"""A client of the modern era: with a key it asks again until it knows how its call ended; without one it asks once."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from tests.faults.wire import Answer, Connections
from tests.journeys.raw import META, post

Tool = Literal["read", "effect", "effect_idempotent", "effect_keyed"]
End = Literal["answered", "unknown", "refused", "broken", "late", "wrong"]
"""How a call ended: with its result; with -31009; refused before it was made; with a connection that broke off, or a
front that says that nobody answers; not at all; with anything else."""

UNKNOWN: Final = -31009
PAUSE_S: Final = 0.1
PATIENCE_S: Final = 30.0
"""How long one answer is waited for."""

GIVE_UP_S: Final = 180.0
"""How long a call with a key is asked for again: where every replica is killed each other second, 30 s do not do."""

_BEFORE: Final = frozenset({-31003, -31004, -31006, -31010})
"""What a call is refused with before it is made: not ready, busy, too many, state away."""


@dataclass
class Made:
    """One call as its client knows it. `keyed` ones bear their id as their key; `steps` make it a stream."""

    id: str
    tool: Tool
    is_keyed: bool
    seconds: float
    steps: int
    end: End = "late"
    sent: int = 0
    answers: int = 0
    why: str = ""
    killed_at: float | None = None
    settled_s: float | None = None
    log: list[str] = field(default_factory=list[str])


async def make(way: Connections, made: Made) -> None:
    """Make the call, again under its key where it has one and its answer did not come."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        made.sent += 1
        got = await way.ask(_request(made), timeout_s=PATIENCE_S) or Answer()
        made.end, made.why = _judged(made, got)
        made.log.append(f"{loop.time() - began:.2f} {made.end} {made.why[:200]}")
        is_over = made.end not in ("broken", "refused") or not made.is_keyed
        if is_over or loop.time() > began + GIVE_UP_S:
            break
        after = got.headers.get("retry-after", "")
        await asyncio.sleep(float(after) if after.isdecimal() else PAUSE_S)
    if made.killed_at is not None:
        made.settled_s = loop.time() - made.killed_at


def _request(made: Made) -> bytes:
    meta: dict[str, Any] = {**META, **({"progressToken": made.id} if made.steps else {})}
    arguments = {"id": made.id, "steps": made.steps, "seconds": made.seconds}
    params = {"name": made.tool, "arguments": arguments, "_meta": meta}
    headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": made.tool}
    if made.is_keyed:
        headers["Idempotency-Key"] = f'"{made.id}"'
    return post({"jsonrpc": "2.0", "id": made.sent, "method": "tools/call", "params": params}, headers)


def _judged(made: Made, got: Answer) -> tuple[End, str]:
    """Return how an attempt ended: one clean answer, one clean break, or something that must not be."""
    if got.is_late:
        return "late", f"HTTP {got.status}, {len(got.events)} events"
    told = [message for message in (_json(event.data.encode()) for event in got.events) if "method" not in message]
    if got.body and got.is_complete:
        told.append(_json(got.body))
    answers = [message for message in told if message.get("id") == made.sent]
    made.answers += len(answers)
    if len(told) > 1 or len(answers) != len(told):
        is_front = got.status in (502, 503, 504) and not answers
        return ("broken" if is_front else "wrong"), f"HTTP {got.status}: {told or got.body[:200]}"
    if not told:
        is_broken = not got.is_complete or got.status in (0, 502, 503, 504)
        cut = "" if got.is_complete else " cut off"
        return ("broken" if is_broken else "wrong"), f"HTTP {got.status}, {len(got.events)} events{cut}"
    return _answered(made, told[0])


def _answered(made: Made, message: dict[str, Any]) -> tuple[End, str]:
    error = cast("dict[str, Any]", message.get("error") or {})
    if error.get("code") == UNKNOWN:
        return "unknown", str(error)
    if error.get("code") in _BEFORE:
        return "refused", str(error)
    result = cast("dict[str, Any]", message.get("result") or {})
    content = cast("list[dict[str, Any]]", result.get("content") or [{}])
    if error or result.get("isError") or not str(content[0].get("text")).startswith(f"{made.id} "):
        return "wrong", str(message)
    return "answered", ""


def _json(data: bytes) -> dict[str, Any]:
    """Return the JSON object, an empty one where it is none: a proxy's page."""
    try:
        message = json.loads(data)
    except ValueError:
        return {}
    return cast("dict[str, Any]", message) if isinstance(message, dict) else {}
