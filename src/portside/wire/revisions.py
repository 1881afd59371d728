"""The spec revisions portside speaks, and which era each belongs to."""

from typing import Final, Literal

Era = Literal["modern", "legacy"]

MODERN: Final = ("2026-07-28",)
"""Stateless revisions: every request carries its own envelope (MCP 2026-07-28, Versioning)."""

LEGACY: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Revisions opened by an `initialize` handshake."""

LATEST_MODERN: Final = MODERN[-1]
LATEST_LEGACY: Final = LEGACY[-1]

ASSUMED_LEGACY: Final = "2025-03-26"
"""What a legacy request without `MCP-Protocol-Version` means (MCP 2025-11-25, Transports)."""

WITH_BATCHES: Final = "2025-03-26"
"""The one revision with JSON-RPC batches; added there, removed in 2025-06-18."""

PRIMED_SINCE: Final = "2025-11-25"
"""First revision whose clients understand an SSE event with an id and no data (SEP-1699)."""


def is_primed(revision: str) -> bool:
    """Whether a client of this legacy revision wants a priming event first on each resumable stream."""
    return revision >= PRIMED_SINCE


def negotiate(requested: object) -> str:
    """Return the legacy revision that answers an `initialize` asking for `requested` (MCP 2025-11-25, Lifecycle)."""
    return requested if isinstance(requested, str) and requested in LEGACY else LATEST_LEGACY
