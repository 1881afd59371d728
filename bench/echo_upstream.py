"""The server behind the upstream hop: `echo` over streamable HTTP on a bare uvicorn, sessions included."""

import argparse
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn
from echo import answer, decode

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def upstream(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a POST by JSON; there are no streams to GET, and any DELETE is content."""
    if scope["type"] != "http":
        return
    if scope["method"] != "POST":
        await _respond(send, 200 if scope["method"] == "DELETE" else 405, b"")
        return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    asked = decode(body)
    reply = answer(asked)
    session = secrets.token_hex(16).encode() if asked.method == "initialize" else None
    await _respond(send, 202 if reply is None else 200, reply or b"", session)


async def _respond(send: Send, status: int, body: bytes, session: bytes | None = None) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if session is not None:
        headers.append((b"mcp-session-id", session))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Serve on loopback until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    chosen = parser.parse_args()
    uvicorn.run(
        upstream,
        host="127.0.0.1",
        port=chosen.port,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
