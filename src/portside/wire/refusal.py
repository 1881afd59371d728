"""JSON-RPC error codes, their HTTP status, and the refusal that carries both."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_REVISION: Final = -32022

CALL_TIMED_OUT: Final = -31001
RESULT_TOO_LARGE: Final = -31002
NOT_READY: Final = -31003
SERVER_BUSY: Final = -31004
SERVER_GONE: Final = -31005
TOO_MANY: Final = -31006
NOT_ALLOWED: Final = -31007
NOT_RECORDED: Final = -31008
OUTCOME_UNKNOWN: Final = -31009
STATE_AWAY: Final = -31010
KEY_REUSED: Final = -31011
"""Our own codes lie outside -32768..-32000, which JSON-RPC and MCP reserve (MCP 2026-07-28, Basic, Error Codes)."""

HTTP_STATUS: Final[Mapping[int, int]] = MappingProxyType(
    {
        PARSE_ERROR: 400,
        INVALID_REQUEST: 400,
        INVALID_PARAMS: 400,
        HEADER_MISMATCH: 400,
        MISSING_CAPABILITY: 400,
        UNSUPPORTED_REVISION: 400,
        METHOD_NOT_FOUND: 404,
        SERVER_BUSY: 503,
        TOO_MANY: 429,
        NOT_ALLOWED: 403,
        NOT_RECORDED: 503,
        STATE_AWAY: 503,
        KEY_REUSED: 422,
    }
)
"""Status of a modern answer that is this error; every other code rides on 200."""


class Refusal(Exception):
    """A request that goes no further: the JSON-RPC error and the HTTP status it is answered with.

    `id` is the request's id where it could be read, else None (JSON-RPC 2.0 §5).
    """

    def __init__(
        self,
        code: int,
        message: str,
        *,
        status: int | None = None,
        data: Any = None,
        id: str | int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status if status is not None else HTTP_STATUS.get(code, 200)
        self.data = data
        self.id = id
        self.headers = headers or {}
