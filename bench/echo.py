"""An MCP server of one tool as a function from message to answer, in both eras: what stands behind the hops."""

from typing import Any

import msgspec
from wire import NEW_REVISION, OLD_REVISION

SERVER = {"name": "echo", "version": "1"}
META = {"io.modelcontextprotocol/serverInfo": SERVER}
CAPABILITIES: dict[str, dict[str, bool]] = {"tools": {}}
CACHE: dict[str, object] = {"ttlMs": 3_600_000, "cacheScope": "public"}
TOOLS = [
    {
        "name": "echo",
        "description": "Give back what was said.",
        "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    }
]


class Arguments(msgspec.Struct):
    """The one argument of the tool."""

    text: str = ""


class Meta(msgspec.Struct):
    """The part of `_meta` that tells the eras apart."""

    revision: str | None = msgspec.field(default=None, name="io.modelcontextprotocol/protocolVersion")


class Params(msgspec.Struct):
    """The part of `params` that is looked at."""

    arguments: Arguments = msgspec.field(default_factory=Arguments)
    meta: Meta = msgspec.field(default_factory=Meta, name="_meta")


class Asked(msgspec.Struct):
    """A request or, without an id, a notification."""

    method: str
    id: int | str | None = None
    params: Params = msgspec.field(default_factory=Params)


DECODER = msgspec.json.Decoder(Asked)
ENCODER = msgspec.json.Encoder()


def decode(body: bytes) -> Asked:
    """Return the message in `body`. Raises msgspec.MsgspecError."""
    return DECODER.decode(body)


def answer(asked: Asked) -> bytes | None:
    """Return the answer to a request, None to a notification."""
    if asked.id is None:
        return None
    is_new = asked.params.meta.revision is not None
    result = _result(asked, is_new)
    if result is None:
        error = {"code": -32601, "message": f"Method not found: {asked.method}"}
        return ENCODER.encode({"jsonrpc": "2.0", "id": asked.id, "error": error})
    if is_new:
        result |= {"resultType": "complete", "_meta": META}
    return ENCODER.encode({"jsonrpc": "2.0", "id": asked.id, "result": result})


def _result(asked: Asked, is_new: bool) -> dict[str, Any] | None:
    match asked.method:
        case "tools/call":
            return {"content": [{"type": "text", "text": asked.params.arguments.text}], "isError": False}
        case "initialize" if not is_new:
            return {"protocolVersion": OLD_REVISION, "capabilities": CAPABILITIES, "serverInfo": SERVER}
        case "server/discover" if is_new:
            return {"supportedVersions": [NEW_REVISION], "capabilities": CAPABILITIES} | CACHE
        case "tools/list":
            return {"tools": TOOLS} | (CACHE if is_new else {})
        case "ping" if not is_new:
            return {}
        case _:
            return None
