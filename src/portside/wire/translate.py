"""Between the eras: questions both ways, and what a legacy server says in the words of a modern one.

The other direction, what a modern server says to a legacy client, is in `translate_legacy`.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final, cast

from portside.wire import classify, message, methods, refusal, revisions
from portside.wire.message import Message

Question = tuple[str, dict[str, Any] | None]

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

RESOURCE_NOT_FOUND: Final = -32002
URL_ELICITATION_REQUIRED: Final = -32042
"""Codes of legacy revisions that the modern one retired."""

ENVELOPE: Final = frozenset(
    {
        classify.META_REVISION,
        classify.META_CAPABILITIES,
        classify.META_CLIENT,
        classify.META_LOG_LEVEL,
        classify.META_SUBSCRIPTION,
        classify.META_SERVER,
    }
)
_RETRY: Final = ("inputResponses", "requestState")
_LEGACY_ONLY: Final = {"elicitation/create": ("elicitationId", "task"), "sampling/createMessage": ("task",)}


def members(value: object) -> dict[str, Any]:
    """Return a JSON object as it is, and no members for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


# -- questions ----------------------------------------------------------------------------------


def is_input_required(result: Mapping[str, Any] | None) -> bool:
    """Say whether a result asks the client something instead of being the answer."""
    return result is not None and result.get("resultType") == "input_required"


def questions(result: Mapping[str, Any]) -> dict[str, Question]:
    """Return key to (method, params) for every question in an `input_required` result, as a legacy client takes it.

    Raises ValueError for an entry that is no request a server may send.
    """
    raw: object = result.get("inputRequests") or {}
    if not isinstance(raw, dict):
        raise ValueError("inputRequests must be an object")
    found: dict[str, Question] = {}
    for key, entry in cast("dict[str, Any]", raw).items():
        asked = members(entry)
        method, params = asked.get("method"), asked.get("params")
        if method not in methods.QUESTION_CAPABILITY or not isinstance(params, dict | None):
            raise ValueError(f"inputRequests[{key!r}] is not a request a server may send")
        found[key] = _legacy_question(cast("str", method), cast("dict[str, Any] | None", params))
    return found


def input_required(asked: Mapping[str, Question], state: str) -> dict[str, Any]:
    """Return the result that puts legacy questions to a modern client (MCP 2026-07-28, Multi Round-Trip Requests)."""
    requests: dict[str, Any] = {}
    for key, (method, params) in asked.items():
        removed = _LEGACY_ONLY.get(method, ())
        kept = None if params is None else {name: value for name, value in params.items() if name not in removed}
        requests[key] = {"method": method} if kept is None else {"method": method, "params": kept}
    return {"resultType": "input_required", "inputRequests": requests, "requestState": state}


def retried(params: Mapping[str, Any] | None, result: Mapping[str, Any], answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the params that repeat a call with the answers to its questions."""
    again = {key: value for key, value in (params or {}).items() if key not in _RETRY}
    again["inputResponses"] = dict(answers)
    if result.get("requestState") is not None:
        again["requestState"] = result["requestState"]
    return again


def lacks_capability(method: str, params: Mapping[str, Any] | None, capabilities: object) -> str | None:
    """Return the capability the client would need for this question and did not declare, None where it may be asked.

    `elicitation: {}` means form alone (MCP 2025-11-25, Elicitation); tools in a sampling request need `sampling.tools`.
    """
    needed = methods.QUESTION_CAPABILITY.get(method)
    if needed is None:
        return method
    declared = members(capabilities)
    if declared.get(needed) is None:
        return needed
    modes, asked = members(declared[needed]), params or {}
    if method == "elicitation/create":
        mode = "url" if asked.get("mode") == "url" else "form"
        if modes.get(mode) is None and (mode == "url" or modes.get("url") is not None):
            return f"elicitation.{mode}"
    needs_tools = asked.get("tools") is not None or asked.get("toolChoice") is not None
    if method == "sampling/createMessage" and needs_tools and modes.get("tools") is None:
        return "sampling.tools"
    return None


def needed_capabilities(lacking: str) -> dict[str, Any]:
    """Return a name of `lacks_capability` as the object a client would have to declare."""
    first, _, rest = lacking.partition(".")
    return {first: {rest: {}} if rest else {}}


def unanswered(question: Message, lacking: str) -> Message:
    """Return what a legacy client says to a question it cannot answer.

    No such method for what it never declared, invalid params for a mode of it (MCP 2025-11-25, Elicitation, Errors).
    """
    code = refusal.INVALID_PARAMS if "." in lacking else refusal.METHOD_NOT_FOUND
    text = f"the client declared no {lacking!r} capability, so {question.method!r} cannot be asked"
    return message.failure(question.id, code, text)


def urls_required(error: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return the params of the URL elicitations a legacy error -32042 demands before the call; none for other errors.

    Their `elicitationId` is still in them (MCP 2025-11-25, URL Elicitation Required Error).
    """
    if error is None or error.get("code") != URL_ELICITATION_REQUIRED:
        return []
    raw: object = members(error.get("data")).get("elicitations")
    if not isinstance(raw, list):
        return []
    entries = [members(entry) for entry in cast("list[object]", raw)]
    return [{**entry, "mode": "url"} for entry in entries if isinstance(entry.get("url"), str)]


def _legacy_question(method: str, params: dict[str, Any] | None) -> Question:
    """Give a URL elicitation the id legacy clients demand: made from the URL, the same whenever that is asked again."""
    if method != "elicitation/create" or params is None or params.get("mode") != "url" or "elicitationId" in params:
        return method, params
    made = hashlib.sha256(str(params.get("url")).encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return method, {**params, "elicitationId": made}


# -- a legacy server for modern clients ---------------------------------------------------------


def legacy_params(params: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the params of a modern request as a legacy server expects them: without envelope and retry members."""
    kept = {key: value for key, value in (params or {}).items() if key not in _RETRY}
    meta: object = kept.pop("_meta", None)
    rest = {key: value for key, value in members(meta).items() if key not in ENVELOPE}
    if rest:
        kept["_meta"] = rest
    return kept


def legacy_capabilities(capabilities: object) -> dict[str, Any]:
    """Return a modern client's capabilities for a handshake: without tasks, which nobody here could poll."""
    return {name: value for name, value in members(capabilities).items() if name != "tasks"}


def modern_result(method: str, result: Mapping[str, Any], server: Mapping[str, Any]) -> dict[str, Any]:
    """Return a legacy result with what every modern one carries; nothing may be cached that nobody vouched for."""
    made: dict[str, Any] = {"resultType": "complete", **result}
    if method in CACHEABLE:
        made = {"ttlMs": 0, "cacheScope": "private", **made}
    made["_meta"] = {classify.META_SERVER: dict(server), **members(made.get("_meta"))}
    return made


def modern_error(asked: Message, error: Mapping[str, Any]) -> dict[str, Any]:
    """Return a legacy error under the code the modern revision has for it.

    A tool that runs as a task of 2025-11-25 alone says "no such method" to a plain call; over HTTP that would read as
    if there were no `tools/call` at all.
    """
    made, code = dict(error), error.get("code")
    if code == RESOURCE_NOT_FOUND:
        made["code"] = refusal.INVALID_PARAMS
    elif code == URL_ELICITATION_REQUIRED:
        made["code"] = refusal.INVALID_REQUEST
    elif code == refusal.METHOD_NOT_FOUND and asked.method == "tools/call":
        made["code"] = refusal.INVALID_PARAMS
        made["message"] = (
            f"the tool {(asked.params or {}).get('name')!r} cannot be called: {error.get('message')} "
            "(a tool that runs only as a task of 2025-11-25 has no counterpart in this revision)"
        )
    return made


def discovery(initialized: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `server/discover` result of a server that only answered `initialize`.

    Subscriptions are served by portside, so what the server may announce stays announced; experimental tasks of
    2025-11-25 are another protocol than the modern extension, and are left out.
    """
    capabilities = {name: value for name, value in members(initialized.get("capabilities")).items() if name != "tasks"}
    made: dict[str, Any] = {"supportedVersions": list(revisions.MODERN), "capabilities": capabilities}
    if initialized.get("instructions") is not None:
        made["instructions"] = initialized["instructions"]
    return modern_result("server/discover", made, server_info(initialized))


def server_info(initialized: Mapping[str, Any]) -> dict[str, Any]:
    """Return who a server said it is in its `initialize` result."""
    return dict(members(initialized.get("serverInfo"))) or {"name": "unknown", "version": ""}
