"""A server without an SDK, which starts at once: for tests that start one again and again."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

Message = MutableMapping[str, Any]

DISCOVERED: Final[dict[str, Any]] = {
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "bare", "version": "1"},
    "ttlMs": 0,
    "cacheScope": "private",
    "resultType": "complete",
}
SCHEMA: Final[dict[str, Any]] = {"type": "object", "properties": {"text": {"type": "string"}}}
TOOLS: Final[list[dict[str, Any]]] = [{"name": "echo", "inputSchema": SCHEMA}]


async def app(scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Any]) -> None:
    """Serve one tool to modern clients; an ASGI application."""
    if scope["type"] == "lifespan":
        return await _live(receive, send)
    body = b""
    while (part := await receive())["type"] == "http.request":
        body += part.get("body", b"")
        if not part.get("more_body", False):
            break
    status, answer = _answer(json.loads(body or b"{}"))
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": head})
    return await send({"type": "http.response.body", "body": answer})


def _answer(asked: dict[str, Any]) -> tuple[int, bytes]:
    method, params = asked.get("method"), asked.get("params", {})
    results: dict[object, dict[str, Any]] = {
        "server/discover": DISCOVERED,
        "tools/list": {"tools": TOOLS, "ttlMs": 0, "cacheScope": "private", "resultType": "complete"},
        "tools/call": {
            "content": [{"type": "text", "text": str(params.get("arguments", {}).get("text"))}],
            "resultType": "complete",
        },
    }
    if method not in results:
        error = {"code": -32601, "message": "Method not found"}
        return 404, json.dumps({"jsonrpc": "2.0", "id": asked.get("id"), "error": error}).encode()
    return 200, json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": results[method]}).encode()


async def _live(receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Any]) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
