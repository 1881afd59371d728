"""One record per HTTP request: filled on the way, handed over once at the end."""

from time import perf_counter
from typing import Final

LOG_FIELDS: Final = (
    "request_id",
    "method",
    "route",
    "status",
    "outcome",
    "duration_ms",
    "client",
    "bytes_in",
    "bytes_out",
    "era",
    "revision",
    "rpc_method",
    "name",
    "error_code",
    "error",
    "session",
    "stream",
)
"""The names of a request's fields in the log, in order. Fields without a value are left out."""


class Record:
    """What is known of one request.

    `route` and `rpc_method` are bounded and fit a metric label; `name` (tool, prompt, resource) is the client's own
    word. `outcome` is ok, error, tool_error, refused, cancelled or timeout. `session` is a hash, never the id.
    """

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "client",
        "duration_s",
        "era",
        "error",
        "error_code",
        "method",
        "name",
        "outcome",
        "request_id",
        "revision",
        "route",
        "rpc_method",
        "session",
        "started",
        "status",
        "stream",
    )

    def __init__(self, request_id: str = "", method: str = "POST", client: str = "") -> None:
        self.request_id = request_id
        self.method = method
        self.client = client
        self.route = "other"
        self.status = 0
        self.outcome = "ok"
        self.started = perf_counter()
        self.duration_s = 0.0
        self.bytes_in = 0
        self.bytes_out = 0
        self.era: str | None = None
        self.revision: str | None = None
        self.rpc_method: str | None = None
        self.name: str | None = None
        self.error_code: int | None = None
        self.error: str | None = None
        self.session: str | None = None
        self.stream = False
