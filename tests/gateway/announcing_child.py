"""A server on stdio that knows the handshake alone, and announces to its own client only, as all of them must."""

import json
import sys
from typing import Any

CAPABILITIES = {"tools": {"listChanged": True}, "resources": {"subscribe": True}}


def send(body: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **body}) + "\n")
    sys.stdout.flush()


def answer(method: str, params: dict[str, Any], subscribed: set[str]) -> dict[str, Any] | None:
    if method == "initialize":
        info = {"name": "announcing", "version": "1"}
        return {"protocolVersion": params["protocolVersion"], "capabilities": CAPABILITIES, "serverInfo": info}
    if method in ("ping", "resources/unsubscribe"):
        return {}
    if method == "resources/subscribe":
        subscribed.add(params["uri"])
        return {}
    if method == "tools/list":
        return {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in ("grow", "touch")]}
    if method == "tools/call":
        uri = params["arguments"].get("uri")
        if params["name"] == "grow":
            send({"method": "notifications/tools/list_changed"})
        elif uri in subscribed:
            send({"method": "notifications/resources/updated", "params": {"uri": uri}})
        return {"content": [{"type": "text", "text": "done"}]}
    return None


def main() -> None:
    subscribed: set[str] = set()
    for line in sys.stdin:
        asked = json.loads(line)
        if "id" not in asked:
            continue
        result = answer(asked["method"], asked.get("params") or {}, subscribed)
        missing = {"code": -32601, "message": "Method not found"}
        send({"id": asked["id"], **({"error": missing} if result is None else {"result": result})})


if __name__ == "__main__":
    main()
