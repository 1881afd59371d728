"""Which era a message belongs to, and whether its headers agree with it: body first, first failure wins."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from portside.wire import headers, methods, refusal, revisions
from portside.wire.message import Message
from portside.wire.refusal import Refusal

META_REVISION: Final = "io.modelcontextprotocol/protocolVersion"
META_CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"
META_CLIENT: Final = "io.modelcontextprotocol/clientInfo"
META_LOG_LEVEL: Final = "io.modelcontextprotocol/logLevel"
META_SUBSCRIPTION: Final = "io.modelcontextprotocol/subscriptionId"
META_SERVER: Final = "io.modelcontextprotocol/serverInfo"


@dataclass(slots=True)
class Envelope:
    """What a modern request says about its sender, in every request anew."""

    revision: str
    capabilities: Any
    client: Any


def is_modern(message: Message, raw_headers: Mapping[bytes, bytes]) -> bool:
    """Say whether `message` is to be judged by the modern rules.

    Responses exist in the legacy era alone. Otherwise the envelope in the body decides; where it is missing, a version
    header that names no legacy revision says what the sender meant (MCP 2026-07-28, Versioning). For `initialize` only
    a modern revision by name does: a client may open the handshake with any version header, or none.
    """
    if message.kind == "response":
        return False
    if META_REVISION in _meta(message):
        return True
    version = raw_headers.get(headers.VERSION)
    if version is None:
        return False
    named = version.strip(b" \t").decode("latin-1")
    return named in revisions.MODERN if message.method == "initialize" else named not in revisions.LEGACY


def modern(message: Message, raw_headers: Mapping[bytes, bytes]) -> Envelope:
    """Return the envelope of a modern request whose headers agree with its body.

    Raises Refusal, in this order: -32602 for a missing envelope member, -32020 for a header that is missing or differs
    from the body, -32602 for a revision that is no string, -32022 for one not served.
    """
    meta = _meta(message)
    if META_REVISION not in meta or META_CAPABILITIES not in meta:
        missing = [key for key in (META_REVISION, META_CAPABILITIES) if key not in meta]
        raise Refusal(refusal.INVALID_PARAMS, f"params._meta lacks the required {' and '.join(missing)}", id=message.id)
    revision = meta[META_REVISION]
    _check_header(message, raw_headers, headers.VERSION, revision)
    _check_header(message, raw_headers, headers.METHOD, message.method)
    _check_name(message, raw_headers)
    if not isinstance(revision, str):
        raise Refusal(refusal.INVALID_PARAMS, f"params._meta[{META_REVISION!r}] must be a string", id=message.id)
    _check_served(message, revision)
    return Envelope(revision, meta[META_CAPABILITIES], meta.get(META_CLIENT))


def modern_notification(message: Message, raw_headers: Mapping[bytes, bytes]) -> None:
    """Check a modern notification: only the revision that brought it here (the spec defines no other header for it)."""
    version = raw_headers.get(headers.VERSION)
    named = version.decode("latin-1") if version is not None else _meta(message).get(META_REVISION)
    _check_served(message, named)


def legacy_revision(message: Message, raw_headers: Mapping[bytes, bytes]) -> str | None:
    """Return the revision a legacy request's header names, None where it names none.

    Raises Refusal -32600 (HTTP 400) for a revision portside does not speak (MCP 2025-11-25, Transports).
    """
    version = raw_headers.get(headers.VERSION)
    if version is None:
        return None
    named = version.strip(b" \t").decode("latin-1")
    if named not in revisions.LEGACY and message.method != "initialize":
        served = ", ".join(revisions.LEGACY)
        raise Refusal(
            refusal.INVALID_REQUEST, f"MCP-Protocol-Version {named[:64]!r} is not one of {served}", id=message.id
        )
    return named


def _meta(message: Message) -> dict[str, Any]:
    params = message.params
    meta = params.get("_meta") if params else None
    return cast("dict[str, Any]", meta) if isinstance(meta, dict) else {}


def _check_header(message: Message, raw_headers: Mapping[bytes, bytes], name: bytes, expected: object) -> None:
    value = raw_headers.get(name)
    # Comparing decoded text keeps a null body value from matching an absent header.
    if value is None or (value.decode("latin-1") != expected and value.decode("latin-1").strip(" \t") != expected):
        shown = name.decode("ascii")
        reason = "is missing" if value is None else "does not match the request body"
        raise Refusal(refusal.HEADER_MISMATCH, f"the {shown} header {reason}", id=message.id)


def _check_name(message: Message, raw_headers: Mapping[bytes, bytes]) -> None:
    parameter = methods.NAME_PARAMETER.get(message.method)
    expected = message.params.get(parameter) if parameter is not None and message.params else None
    if expected is None:
        return
    value = raw_headers.get(headers.NAME)
    if value is None or headers.decode_value(value.strip(b" \t").decode("latin-1")) != expected:
        reason = "is missing" if value is None else f"does not match the request body's {parameter!r}"
        raise Refusal(refusal.HEADER_MISMATCH, f"the mcp-name header {reason}", id=message.id)


def _check_served(message: Message, revision: object) -> None:
    if revision not in revisions.MODERN:
        raise Refusal(
            refusal.UNSUPPORTED_REVISION,
            "Unsupported protocol version",
            data={"supported": list(revisions.MODERN), "requested": revision},
            id=message.id,
        )
