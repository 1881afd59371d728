"""What a fastmcp object may bring that would be dropped in silence, in either of its major versions."""

from typing import Any

from portside.errors import StartFailed


def refuse_unserved(server: Any, *, in_thread: bool) -> None:
    """Raise StartFailed where the object brings, or a setting wants, what cannot be honoured."""
    if server.auth is not None:
        raise StartFailed(
            f"{server.name!r} brings its own authentication (FastMCP(auth=...)), which this version of "
            "portside does not run",
            hint="remove auth= and put an authenticating gateway in front",
        )
    if not in_thread:
        raise StartFailed(
            "PORTSIDE_SYNC_TOOLS=loop is not available for fastmcp servers",
            hint="mark the tool itself: @server.tool(run_in_thread=False)",
        )
