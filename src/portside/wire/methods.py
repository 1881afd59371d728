"""What the specification says about each method: its era, its name parameter, whether it may ask the user back."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

BOTH: Final = frozenset(
    {
        "completion/complete",
        "prompts/get",
        "prompts/list",
        "resources/list",
        "resources/read",
        "resources/templates/list",
        "tools/call",
        "tools/list",
    }
)
MODERN_ONLY: Final = frozenset({"server/discover", "subscriptions/listen", "tasks/get", "tasks/update", "tasks/cancel"})
LEGACY_ONLY: Final = frozenset(
    {
        "initialize",
        "logging/setLevel",
        "ping",
        "resources/subscribe",
        "resources/unsubscribe",
    }
)
REQUESTS: Final = BOTH | MODERN_ONLY | LEGACY_ONLY
"""Every request a client may send, in any revision portside speaks."""

NOTIFICATIONS: Final = frozenset(
    {
        "notifications/cancelled",
        "notifications/initialized",
        "notifications/progress",
        "notifications/roots/list_changed",
    }
)

NAME_PARAMETER: Final[Mapping[str, str]] = MappingProxyType(
    {
        "tools/call": "name",
        "prompts/get": "name",
        "resources/read": "uri",
        "tasks/get": "taskId",
        "tasks/update": "taskId",
        "tasks/cancel": "taskId",
    }
)
"""Method to the parameter mirrored as `Mcp-Name` (MCP 2026-07-28, Streamable HTTP, Standard Request Headers)."""

MAY_ASK: Final = frozenset({"tools/call", "prompts/get", "resources/read"})
"""Requests whose result may be `input_required` (MCP 2026-07-28, Multi Round-Trip Requests)."""

QUESTION_CAPABILITY: Final[Mapping[str, str]] = MappingProxyType(
    {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}
)
"""What a server may ask its client, and the capability the client must have declared for it."""

LISTEN: Final = "subscriptions/listen"


def label(method: str) -> str:
    """Return the method if the specification knows it, else "other": a bounded metric and log label."""
    return method if method in REQUESTS or method in NOTIFICATIONS else "other"
