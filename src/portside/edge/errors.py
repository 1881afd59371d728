"""What an exception that nobody else handled becomes on the wire: one table."""

from typing import Final

from portside.edge.asgi import Headers
from portside.errors import HostGone, PortsideError, StateUnavailable

_RETRY: Final = ((b"retry-after", b"1"),)

RESPONSES: Final[tuple[tuple[type[PortsideError], int, str, Headers], ...]] = (
    (HostGone, 503, "the hosted server is not available", _RETRY),
    (StateUnavailable, 503, "shared state is not available", _RETRY),
)


def response_of(error: Exception) -> tuple[int, str, Headers]:
    """Return status, message and headers; what the exception says stays in the log."""
    for kind, status, message, headers in RESPONSES:
        if isinstance(error, kind):
            return status, message, headers
    return 500, "internal error", ()
