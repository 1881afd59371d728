"""Between the eras: questions as `input_required` results and back, and what else differs in params and results."""

from collections.abc import Mapping
from typing import Any, Final, cast

from portside.wire import classify, methods, refusal, revisions

CACHEABLE: Final = frozenset(
    {
        "prompts/list",
        "resources/list",
        "resources/read",
        "resources/templates/list",
        "server/discover",
        "tools/list",
    }
)
"""Modern results that must say how long and for whom they hold (MCP 2026-07-28, Caching)."""

_ENVELOPE: Final = "io.modelcontextprotocol/"
_RESOURCE_NOT_FOUND: Final = -32002


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


def legacy_params(params: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the params of a modern request as a legacy server expects them: without envelope and retry members."""
    kept = {key: value for key, value in (params or {}).items() if key not in ("inputResponses", "requestState")}
    meta: object = kept.pop("_meta", None)
    if isinstance(meta, dict):
        rest = {key: value for key, value in cast("dict[str, Any]", meta).items() if not key.startswith(_ENVELOPE)}
        if rest:
            kept["_meta"] = rest
    return kept


def modern_result(method: str, result: Mapping[str, Any], server: Mapping[str, Any]) -> dict[str, Any]:
    """Return a legacy result with what every modern one carries; nothing may be cached that nobody vouched for."""
    made: dict[str, Any] = {"resultType": "complete", **result}
    if method in CACHEABLE:
        made = {"ttlMs": 0, "cacheScope": "private", **made}
    meta: object = made.get("_meta")
    known = cast("dict[str, Any]", meta) if isinstance(meta, dict) else {}
    made["_meta"] = {classify.META_SERVER: dict(server), **known}
    return made


def modern_error(error: Mapping[str, Any]) -> dict[str, Any]:
    """Return a legacy error under the code the modern revision has for it."""
    made = dict(error)
    if made.get("code") == _RESOURCE_NOT_FOUND:
        made["code"] = refusal.INVALID_PARAMS
    return made


def discovery(initialized: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `server/discover` result of a server that only answered `initialize`.

    Subscriptions are served by portside, so what the server may announce stays announced; experimental tasks of
    2025-11-25 are another protocol than the modern extension, and are left out.
    """
    raw: object = initialized.get("capabilities")
    capabilities = dict(cast("dict[str, Any]", raw)) if isinstance(raw, dict) else {}
    capabilities.pop("tasks", None)
    made: dict[str, Any] = {"supportedVersions": list(revisions.MODERN), "capabilities": capabilities}
    if initialized.get("instructions") is not None:
        made["instructions"] = initialized["instructions"]
    return modern_result("server/discover", made, server_info(initialized))


def server_info(initialized: Mapping[str, Any]) -> dict[str, Any]:
    """Return who a server said it is in its `initialize` result."""
    raw: object = initialized.get("serverInfo")
    return dict(cast("dict[str, Any]", raw)) if isinstance(raw, dict) else {"name": "unknown", "version": ""}
