"""Between the eras: a server's questions as `input_required` results, and such results as questions."""

from collections.abc import Mapping
from typing import Any, cast

from portside.wire import methods


def is_input_required(result: Mapping[str, Any] | None) -> bool:
    """Say whether a result asks the client something instead of being the answer."""
    return result is not None and result.get("resultType") == "input_required"


def questions(result: Mapping[str, Any]) -> dict[str, tuple[str, dict[str, Any] | None]]:
    """Return key to (method, params) for every question in an `input_required` result.

    Raises ValueError for an entry that is no request a server may send.
    """
    raw: object = result.get("inputRequests") or {}
    if not isinstance(raw, dict):
        raise ValueError("inputRequests must be an object")
    found: dict[str, tuple[str, dict[str, Any] | None]] = {}
    for key, entry in cast("dict[str, Any]", raw).items():
        asked = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        method, params = asked.get("method"), asked.get("params")
        if method not in methods.QUESTION_CAPABILITY:
            raise ValueError(f"inputRequests[{key!r}] is not a request a server may send")
        found[key] = (cast("str", method), cast("dict[str, Any] | None", params))
    return found


def input_required(asked: Mapping[str, tuple[str, dict[str, Any] | None]], state: str) -> dict[str, Any]:
    """Return the result that puts the questions to a modern client (MCP 2026-07-28, Multi Round-Trip Requests)."""
    requests: dict[str, Any] = {}
    for key, (method, params) in asked.items():
        requests[key] = {"method": method} if params is None else {"method": method, "params": params}
    return {"resultType": "input_required", "inputRequests": requests, "requestState": state}


def retried(params: Mapping[str, Any] | None, result: Mapping[str, Any], answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the params that repeat a call with the answers to its questions."""
    again = {key: value for key, value in (params or {}).items() if key not in ("inputResponses", "requestState")}
    again["inputResponses"] = dict(answers)
    if result.get("requestState") is not None:
        again["requestState"] = result["requestState"]
    return again


def lacks_capability(method: str, params: Mapping[str, Any] | None, capabilities: object) -> str | None:
    """Return the capability the client would need for this question and did not declare, None where it may be asked."""
    needed = methods.QUESTION_CAPABILITY.get(method)
    if needed is None:
        return method
    declared = cast("dict[str, Any]", capabilities) if isinstance(capabilities, dict) else {}
    if declared.get(needed) is None:
        return needed
    if method == "elicitation/create" and (params or {}).get("mode") == "url":
        modes = declared[needed]
        if not (isinstance(modes, dict) and cast("dict[str, Any]", modes).get("url") is not None):
            return "elicitation.url"
    return None
