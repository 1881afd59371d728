"""What a modern server says, in the words of the legacy revisions, and what a legacy client asks, with its envelope."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from portside.wire import classify, headers, refusal, revisions, translate
from portside.wire.message import Message
from portside.wire.parameters import Declared
from portside.wire.translate import members

TASKS_EXTENSION: Final = "io.modelcontextprotocol/tasks"

_MODERN_MEMBERS: Final = ("resultType", "ttlMs", "cacheScope")
_REPLACED_HEADERS: Final = frozenset(
    {headers.VERSION, headers.METHOD, headers.NAME, headers.SESSION, headers.LAST_EVENT}
)


def modern_capabilities(capabilities: object) -> dict[str, Any]:
    """Return the capabilities of a handshake as a modern envelope states them.

    Without what only a legacy client can do: experimental tasks, and announcing that its roots changed. The modern
    extension for tasks goes too: its results have no legacy form.
    """
    made = {name: value for name, value in members(capabilities).items() if name != "tasks"}
    if made.get("roots") is not None:
        made["roots"] = {name: value for name, value in members(made["roots"]).items() if name != "listChanged"}
    if made.get("extensions") is not None:
        kept = {name: value for name, value in members(made["extensions"]).items() if name != TASKS_EXTENSION}
        made["extensions"] = kept
    return made


def modern_params(
    params: Mapping[str, Any] | None, capabilities: Mapping[str, Any], client: object, log_level: str | None = None
) -> dict[str, Any]:
    """Return the params of a legacy request with the envelope every modern one carries."""
    meta = {
        name: value for name, value in members((params or {}).get("_meta")).items() if name not in translate.ENVELOPE
    }
    meta[classify.META_REVISION] = revisions.LATEST_MODERN
    meta[classify.META_CAPABILITIES] = dict(capabilities)
    if isinstance(client, dict):
        meta[classify.META_CLIENT] = client
    if log_level is not None:
        meta[classify.META_LOG_LEVEL] = log_level
    return {**(params or {}), "_meta": meta}


def modern_headers(
    raw: Sequence[tuple[bytes, bytes]], asked: Message, name: object, mirrored: Sequence[tuple[bytes, bytes]]
) -> list[tuple[bytes, bytes]]:
    """Return a legacy request's headers as a modern client would have sent them; `mirrored` is `Mcp-Param-*`."""
    kept = [
        (header, value)
        for header, value in raw
        if header not in _REPLACED_HEADERS and not header.startswith(headers.PARAM_PREFIX)
    ]
    kept.append((headers.VERSION, revisions.LATEST_MODERN.encode()))
    kept.append((headers.METHOD, asked.method.encode()))
    if isinstance(name, str):
        kept.append((headers.NAME, headers.encode_value(name).encode()))
    return [*kept, *mirrored]


def mirrored(wanted: Sequence[Declared], arguments: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    """Return the `Mcp-Param-*` headers of a call; a missing or null argument has none."""
    made: list[tuple[bytes, bytes]] = []
    for one in wanted:
        value: object = arguments
        for key in one.path:
            value = members(value).get(key)
        if isinstance(value, bool):
            made.append((one.header, b"true" if value else b"false"))
        elif isinstance(value, str | int | float):
            made.append((one.header, headers.encode_value(str(value)).encode()))
    return made


def initialized(discovered: Mapping[str, Any], revision: str) -> dict[str, Any]:
    """Return the `initialize` result for what a server said of itself in `server/discover`."""
    capabilities = dict(members(discovered.get("capabilities")))
    extensions = members(capabilities.pop("extensions", None))
    rest = {name: value for name, value in extensions.items() if name != TASKS_EXTENSION}
    if rest:
        capabilities["extensions"] = rest
    meta = members(discovered.get("_meta"))
    made: dict[str, Any] = {
        "protocolVersion": revision,
        "capabilities": capabilities,
        "serverInfo": members(meta.get(classify.META_SERVER)) or {"name": "unknown", "version": ""},
    }
    if discovered.get("instructions") is not None:
        made["instructions"] = discovered["instructions"]
    return made


def legacy_result(method: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a modern result without what only modern clients know. A question stays as it is, for whoever asks it.

    Raises ValueError for a kind of result the legacy revisions have no form for.
    """
    kind = result.get("resultType", "complete")
    if kind == "input_required":
        return dict(result)
    if kind != "complete":
        raise ValueError(f"the server answered {method!r} with a {kind!r}, which legacy revisions do not know")
    made = {name: value for name, value in result.items() if name not in _MODERN_MEMBERS}
    meta = {name: value for name, value in members(made.get("_meta")).items() if name != classify.META_SERVER}
    made.pop("_meta", None)
    if meta:
        made["_meta"] = meta
    if method == "tools/call":
        _fit_content(made)
    elif method == "tools/list":
        made["tools"] = [_fit_tool(tool) for tool in made.get("tools") or ()]
    return made


def legacy_error(asked: Message, error: Mapping[str, Any]) -> dict[str, Any]:
    """Return a modern error as a legacy client understands it; the reserved codes of 2026-07-28 become words."""
    code, text, data = error.get("code"), error.get("message"), members(error.get("data"))
    if code == refusal.INVALID_PARAMS and asked.method == "resources/read" and _is_not_found(asked, text, data):
        return {**error, "code": translate.RESOURCE_NOT_FOUND}
    if code == refusal.MISSING_CAPABILITY:
        needed = msgspec.json.encode(data.get("requiredCapabilities")).decode()
        reason = f"the server needs a client that declares the capabilities {needed}: {text}"
        return {"code": refusal.INVALID_REQUEST, "message": reason}
    if code == refusal.UNSUPPORTED_REVISION:
        reason = f"the server serves the revisions {data.get('supported')!r}, none that portside speaks"
        return {"code": refusal.INTERNAL_ERROR, "message": reason}
    if code == refusal.HEADER_MISMATCH:
        reason = f"the server refused the headers portside made for it: {text}"
        return {"code": refusal.INTERNAL_ERROR, "message": reason}
    return dict(error)


def announcement(params: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the params of an announcement without the subscription it came on, None where nothing is left."""
    kept = {name: value for name, value in (params or {}).items() if name != "_meta"}
    meta = members((params or {}).get("_meta"))
    rest = {name: value for name, value in meta.items() if name != classify.META_SUBSCRIPTION}
    if rest:
        kept["_meta"] = rest
    return kept or None


def _fit_content(result: dict[str, Any]) -> None:
    """Give a tool's result what legacy revisions demand: content always, structured content as an object or not."""
    structured = result.get("structuredContent")
    if "content" not in result:
        text = None if structured is None else msgspec.json.encode(structured).decode()
        result["content"] = [] if text is None else [{"type": "text", "text": text}]
    if structured is not None and not isinstance(structured, dict):
        del result["structuredContent"]


def _fit_tool(tool: object) -> object:
    """Drop an output schema that is not of an object: a legacy client would demand structured content for it."""
    made = members(tool)
    schema = made.get("outputSchema")
    if schema is None or members(schema).get("type") == "object":
        return tool
    return {name: value for name, value in made.items() if name != "outputSchema"}


def _is_not_found(asked: Message, text: object, data: Mapping[str, Any]) -> bool:
    """Tell a missing resource from params that are wrong: by the URI in the error, or by its words."""
    uri = (asked.params or {}).get("uri")
    says_so = isinstance(text, str) and ("not found" in text.lower() or "unknown resource" in text.lower())
    return isinstance(uri, str) and (data.get("uri") == uri or says_so)
