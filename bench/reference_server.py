"""What portside is compared with: the bare official SDK on uvicorn, and a raw ASGI echo as the floor."""

import argparse
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
import uvicorn

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class Arguments(msgspec.Struct):
    """The one argument of the echo tool."""

    text: str


class Params(msgspec.Struct):
    """The part of `params` the floor looks at."""

    arguments: Arguments


class Call(msgspec.Struct):
    """The part of a `tools/call` the floor looks at."""

    id: int
    params: Params


async def floor(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer any POST as the echo tool would, with no MCP in between: what HTTP alone costs."""
    if scope["type"] != "http":
        return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    call = msgspec.json.decode(body, type=Call)
    content = [{"type": "text", "text": call.params.arguments.text}]
    result = {"resultType": "complete", "content": content, "isError": False}
    answer = msgspec.json.encode({"jsonrpc": "2.0", "id": call.id, "result": result})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def sdk() -> ASGIApp:
    """Return the SDK's app as it ships: `streamable_http_app()` without an argument."""
    from echo_server import mcp  # here, so that the floor's process does not carry the SDK

    return mcp.streamable_http_app()


def sdk_json() -> ASGIApp:
    """Return the SDK's app with plain JSON answers instead of one event stream per call."""
    from echo_server import mcp

    return mcp.streamable_http_app(json_response=True)


def sdk_stateless() -> ASGIApp:
    """Return the SDK's app with plain JSON answers and without sessions."""
    from echo_server import mcp

    return mcp.streamable_http_app(json_response=True, stateless_http=True)


APPS: dict[str, Callable[[], ASGIApp]] = {
    "sdk": sdk,
    "sdk-json": sdk_json,
    "sdk-stateless": sdk_stateless,
    "floor": lambda: floor,
}


def main() -> None:
    """Serve one of the reference apps on loopback until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("app", choices=sorted(APPS))
    parser.add_argument("--port", type=int, required=True)
    chosen = parser.parse_args()
    lifespan = "off" if chosen.app == "floor" else "on"
    uvicorn.run(
        APPS[chosen.app](),
        host="127.0.0.1",
        port=chosen.port,
        loop="uvloop",
        http="httptools",
        lifespan=lifespan,
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
