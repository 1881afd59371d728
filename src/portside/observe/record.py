"""The one record of an HTTP request: filled in on the way, handed once to the sinks."""

from collections.abc import Mapping
from time import perf_counter
from types import MappingProxyType
from typing import Final, Literal

import msgspec

Era = Literal["modern", "legacy"]
Outcome = Literal["ok", "error", "tool_error", "refused", "cancelled", "timeout"]

NAME_LIMIT: Final = 200
ERROR_LIMIT: Final = 500
"""Characters of a name and of an error that reach the log: a client chooses both."""


# eq=False: a record is one request, compared by identity, and stays hashable.
class Record(msgspec.Struct, eq=False):
    """One HTTP request. Times in seconds, sizes in bytes.

    `route`, `rpc_method`, `era`, `revision` and `outcome` are bounded by those who set them; `method` and `name` are
    the client's words and are bounded by whoever makes labels of them. `started` is `time.perf_counter()`, read at
    construction where it is not given. `session` is a hash of the session id, never the id. `status` is 0 while no
    response has started.
    """

    request_id: str = ""
    method: str = "POST"
    client: str = ""
    route: str = "other"
    status: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    started: float = msgspec.field(default_factory=perf_counter)
    duration_s: float = 0.0
    era: Era | None = None
    revision: str | None = None
    rpc_method: str | None = None
    name: str | None = None
    outcome: Outcome = "ok"
    error_code: int | None = None
    error: str | None = None
    session: str | None = None
    principal: str | None = None
    stream: bool = False


LOG_FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "timestamp": "when it was logged, ISO 8601 in UTC, milliseconds",
        "level": "debug, info, warning, error or critical",
        "event": "what happened; `http.request` for a request",
        "service": "always `portside`",
        "server_id": "this replica, from `SERVER_ID`; absent when unset",
        "logger": "who logged it; absent on requests",
        "exception": "the stack trace, where there is one",
        "request_id": "id of the request",
        "method": "HTTP method",
        "route": (
            "`/mcp`, `/health`, `/ready`, `/metrics`, `/.well-known/oauth-protected-resource`, "
            "the template of a custom route, or `other`"
        ),
        "status": "HTTP status; 0 when the client left before the response began",
        "client": "the client's address, seen through trusted proxies only",
        "bytes_in": "size of the request's body, bytes",
        "bytes_out": "size of the response's body, bytes",
        "duration_ms": "from the first byte read to the last one written, milliseconds",
        "outcome": "`ok`, `error`, `tool_error`, `refused`, `cancelled` or `timeout`",
        "stream": "true when the response was an event stream, else absent",
        "era": "`modern` (2026-07-28) or `legacy` (up to 2025-11-25)",
        "revision": "revision of the specification in use",
        "rpc_method": "JSON-RPC method, `other` when the specification does not know it",
        "name": f"tool, prompt or resource asked for, at most {NAME_LIMIT} characters",
        "error_code": "JSON-RPC error code",
        "error": f"short reason, at most {ERROR_LIMIT} characters",
        "session": "hash of the session id; the id itself is never logged",
        "principal": "who asked, as a digest: the same for every token of one person at one client",
    }
)
"""Every field name portside's own request events use, and what it means."""


def as_fields(record: Record, head: Mapping[str, object]) -> dict[str, object]:
    """Return what the log says of a request, by field name, behind `head`; what does not apply is left out."""
    fields: dict[str, object] = {**head}
    fields["request_id"] = record.request_id
    fields["method"] = record.method
    fields["route"] = record.route
    fields["status"] = record.status
    fields["client"] = record.client
    fields["bytes_in"] = record.bytes_in
    fields["bytes_out"] = record.bytes_out
    fields["duration_ms"] = round(record.duration_s * 1000, 3)
    fields["outcome"] = record.outcome
    if record.stream:
        fields["stream"] = True
    if record.era is not None:
        fields["era"] = record.era
    if record.revision is not None:
        fields["revision"] = record.revision
    if record.rpc_method is not None:
        fields["rpc_method"] = record.rpc_method
    if record.name is not None:
        fields["name"] = record.name[:NAME_LIMIT]
    if record.error_code is not None:
        fields["error_code"] = record.error_code
    if record.error is not None:
        fields["error"] = record.error[:ERROR_LIMIT]
    if record.session is not None:
        fields["session"] = record.session
    if record.principal is not None:
        fields["principal"] = record.principal
    return fields
