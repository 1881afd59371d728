"""What replicas that are killed serve: without an SDK, so that they start at once; each run of a tool has a name."""

import asyncio
import json
import os
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, Final

from portside.wire import idempotency
from tests.faults.effects import FILE, record

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

DONE: Final = "@done@"
"""Stands between key and id in the name of the file that is the effect of the key-aware tool."""

_COMPLETE: Final[dict[str, Any]] = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
_DISCOVERED: Final[dict[str, Any]] = {
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "killed", "version": "1"},
    **_COMPLETE,
}
_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "steps": {"type": "integer"}, "seconds": {"type": "number"}},
    "required": ["id", "steps", "seconds"],
}
_HINTS: Final[dict[str, dict[str, Any]]] = {
    "read": {"annotations": {"readOnlyHint": True}},
    "effect": {},
    "effect_idempotent": {"annotations": {"idempotentHint": True}},
    "effect_keyed": {"_meta": {idempotency.USES: True}},
}
"""Each begins by having its effect, then takes `seconds`, in numbered steps where there are any."""

_TOOLS: Final = [{"name": name, "inputSchema": _SCHEMA, **hints} for name, hints in _HINTS.items()]


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Serve the tools to modern clients; an ASGI application."""
    if scope["type"] == "lifespan":
        return await _live(receive, send)
    body = b""
    while (part := await receive())["type"] == "http.request":
        body += part.get("body", b"")
        if not part.get("more_body", False):
            break
    asked = json.loads(body or b"{}")
    if asked.get("method") == "tools/call":
        return await _call(asked, send)
    results = {"server/discover": _DISCOVERED, "tools/list": {"tools": _TOOLS, **_COMPLETE}}
    result = results.get(str(asked.get("method")))
    if result is None:
        error = {"code": -32601, "message": "Method not found"}
        return await _json(send, 404, {"jsonrpc": "2.0", "id": asked.get("id"), "error": error})
    return await _json(send, 200, {"jsonrpc": "2.0", "id": asked["id"], "result": result})


async def _call(asked: dict[str, Any], send: Send) -> None:
    """Have the effect, then say every step, and answer; each with the call's id and the run's name."""
    params = asked["params"]
    tool, meta, given = params["name"], params.get("_meta", {}), params["arguments"]
    id, steps, seconds = str(given["id"]), int(given["steps"]), float(given["seconds"])
    run = f"{os.environ.get('SERVER_ID', '')}/{os.getpid()}/{secrets.token_hex(4)}"
    text = f"{id} {run}"
    if tool == "effect_keyed":
        await _once(str(meta[idempotency.META]), id, seconds)
    else:
        record(tool, id)
    result = {"content": [{"type": "text", "text": text}], "resultType": "complete"}
    answer = {"jsonrpc": "2.0", "id": asked["id"], "result": result}
    if not steps:
        await asyncio.sleep(seconds)
        return await _json(send, 200, answer)
    await _begin(send, 200, b"text/event-stream")
    for number in range(1, steps + 1):
        said = {"progressToken": meta["progressToken"], "progress": number, "message": f"{text} {number}"}
        await _event(send, {"jsonrpc": "2.0", "method": "notifications/progress", "params": said})
        await asyncio.sleep(seconds / steps)
    await _event(send, answer)
    return await send({"type": "http.response.body"})


async def _once(key: str, id: str, seconds: float) -> None:
    """Have the effect once under this key, however often and wherever this is run: a file is there, or it is not."""
    record("effect_keyed", id, "tried")
    await asyncio.sleep(seconds / 2)
    Path(os.environ[FILE]).with_name(f"{key}{DONE}{id}").touch()


async def _json(send: Send, status: int, message: dict[str, Any]) -> None:
    await _begin(send, status, b"application/json")
    await send({"type": "http.response.body", "body": json.dumps(message).encode()})


async def _begin(send: Send, status: int, kind: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})


async def _event(send: Send, message: dict[str, Any]) -> None:
    block = b"data: " + json.dumps(message).encode() + b"\n\n"
    await send({"type": "http.response.body", "body": block, "more_body": True})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
