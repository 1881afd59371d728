"""An MCP server over stdio in plain Python that does, and misdoes, what it is asked: `plain.py ERA...`.

Eras: `modern`, `legacy`, `both`; `silent` answers nothing before a handshake; `mute` answers nothing at all. More
words: `dies` ends at once with code 7, `old` speaks another revision after `OLD` exists in the working folder.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

REVISION = "2026-07-28"
cancelled: list[object] = []
gathered: list[tuple[object, object]] = []
told: list[dict[str, Any]] = []
answers: list[dict[str, Any]] = []
state: dict[str, Any] = {"params": None, "calls": 0, "subscribed": [], "level": None}


def send(body: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **body}) + "\n")
    sys.stdout.flush()


def text(id_: object, value: object) -> None:
    send({"id": id_, "result": {"content": [{"type": "text", "text": json.dumps(value)}], "resultType": "complete"}})


def forget_signals() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def sleeper(*, is_detached: bool) -> int:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=is_detached)
    return child.pid


def call(id_: object, name: str, given: dict[str, Any], meta: dict[str, Any]) -> None:
    token = meta.get("progressToken")
    match name:
        case "echo":
            text(id_, given)
        case "gather":
            gathered.append((id_, given["value"]))
            if len(gathered) == given["count"]:
                for other, value in reversed(gathered):
                    text(other, value)
                gathered.clear()
        case "hang":
            state["hanging"] = id_
        case "late":
            for one in given["ids"]:
                text(one, "late")
            text(id_, "done")
        case "seen":
            text(id_, {"cancelled": cancelled, "told": told, "answers": answers, **state})
        case "environment":
            text(id_, dict(os.environ))
        case "where":
            old = os.umask(0)
            os.umask(old)
            text(id_, {"folder": str(Path.cwd()), "umask": old, "session": os.getsid(0), "pid": os.getpid()})
        case "limits":
            import resource

            names = ("AS", "NOFILE", "CPU")
            text(id_, {one: resource.getrlimit(getattr(resource, f"RLIMIT_{one}"))[0] for one in names})
        case "crash":
            sys.stderr.write("about to crash\n")
            sys.stderr.flush()
            if given.get("signal"):
                os.kill(os.getpid(), given["signal"])
            os._exit(given.get("code", 3))
        case "garbage":
            for line in given["lines"]:
                sys.stdout.buffer.write(line.encode("latin-1") + b"\n")
            sys.stdout.flush()
            text(id_, "done")
        case "flood":
            piece = b"not a message at all\n" * 4096
            end = time.monotonic() + given["seconds"]
            sent = 0
            while time.monotonic() < end:
                os.write(1, piece)
                sent += len(piece)
            text(id_, sent)
        case "endless":
            for _ in range(given["mebibytes"]):
                os.write(1, b"x" * 1024 * 1024)
            os.write(1, b"\n")
            text(id_, "done")
        case "big":
            text(id_, "x" * given["bytes"])
        case "mumble":
            for _ in range(given["mebibytes"]):
                os.write(2, b"mumble, mumble\n" * 70_000)
            text(id_, "done")
        case "fork":
            text(id_, [sleeper(is_detached=False), sleeper(is_detached=True)])
        case "stubborn":
            forget_signals()
            state["stubborn"] = True
            text(id_, os.getpid())
        case "progress":
            for step in range(given["steps"]):
                send({"method": "notifications/progress", "params": {"progressToken": token, "progress": step}})
            text(id_, "done")
        case "log":
            send({"method": "notifications/message", "params": {"level": "info", "data": given["data"]}})
            text(id_, "done")
        case "ask":
            state["asking"] = id_
            send({"id": given["id"], "method": given.get("method", "elicitation/create"), "params": {"message": "?"}})
        case "withdraw":
            send({"method": "notifications/cancelled", "params": {"requestId": given["id"]}})
            text(id_, "done")
        case "announce":
            send({"method": "notifications/tools/list_changed"})
            text(id_, "done")
        case "update":
            params = {"uri": "a:b", "_meta": {"io.modelcontextprotocol/subscriptionId": state["listening"]}}
            send({"method": "notifications/resources/updated", "params": params})
            text(id_, "done")
        case "end_listening":
            meta = {"io.modelcontextprotocol/subscriptionId": state["listening"]}
            send({"id": state["listening"], "result": {"resultType": "complete", "_meta": meta}})
            text(id_, "done")
        case "deaf":
            text(id_, "done")
            time.sleep(600)
        case _:
            send({"id": id_, "error": {"code": -32602, "message": f"no tool {name}"}})


def legacy(id_: object, method: str, params: dict[str, Any]) -> bool:
    match method:
        case "initialize":
            state["params"] = params
            revision = "2024-11-05" if "old" in sys.argv and Path("OLD").exists() else params["protocolVersion"]
            info = {"name": "plain", "version": "1"}
            send(
                {"id": id_, "result": {"protocolVersion": revision, "capabilities": {"tools": {}}, "serverInfo": info}}
            )
        case "logging/setLevel":
            state["level"] = params["level"]
            send({"id": id_, "result": {}})
        case "resources/subscribe":
            state["subscribed"].append(params["uri"])
            send({"id": id_, "result": {}})
        case "ping":
            send({"id": id_, "result": {}})
        case _:
            return False
    return True


def modern(id_: object, method: str) -> bool:
    match method:
        case "server/discover":
            meta = {"io.modelcontextprotocol/serverInfo": {"name": "plain", "version": "2"}}
            result = {"resultType": "complete", "supportedVersions": [REVISION], "capabilities": {}, "_meta": meta}
            send({"id": id_, "result": result})
        case "subscriptions/listen":
            state["listening"] = id_
            meta = {"io.modelcontextprotocol/subscriptionId": id_}
            send({"method": "notifications/subscriptions/acknowledged", "params": {"notifications": {}, "_meta": meta}})
        case _:
            return False
    return True


def take(body: dict[str, Any], eras: set[str]) -> None:
    method, id_ = body.get("method"), body.get("id")
    params: dict[str, Any] = body.get("params") or {}
    if "mute" in eras:
        return
    if method is None:
        answers.append(body)
        if "asking" in state:
            text(state.pop("asking"), body.get("result", body.get("error")))
        return
    if id_ is None:
        told.append(body)
        if method == "notifications/cancelled":
            cancelled.append(params["requestId"])
        return
    if "silent" in eras and state["params"] is None and method != "initialize":
        return
    if method == "tools/call":
        state["calls"] += 1
        call(id_, params["name"], params.get("arguments") or {}, params.get("_meta") or {})
        return
    is_known = bool(eras & {"legacy", "both", "silent"}) and legacy(id_, method, params)
    if not is_known and not (eras & {"modern", "both"} and modern(id_, method)):
        send({"id": id_, "error": {"code": -32601, "message": "Method not found"}})


def main() -> None:
    eras = set(sys.argv[1:])
    if "dies" in eras:
        sys.stderr.write("cannot find my configuration\n")
        sys.exit(7)
    for line in sys.stdin:
        take(cast("dict[str, Any]", json.loads(line)), eras)
    if state.get("stubborn"):
        time.sleep(600)


if __name__ == "__main__":
    main()
