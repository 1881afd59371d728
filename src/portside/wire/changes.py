"""What a server says outside its answers: changes it announces to subscribers, and log messages by their level."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, cast

from portside.wire import message
from portside.wire.message import Message
from portside.wire.translate import members

CHANGES: Final[Mapping[str, tuple[str, str, str]]] = MappingProxyType(
    {
        "notifications/tools/list_changed": ("toolsListChanged", "tools", "listChanged"),
        "notifications/prompts/list_changed": ("promptsListChanged", "prompts", "listChanged"),
        "notifications/resources/list_changed": ("resourcesListChanged", "resources", "listChanged"),
        "notifications/resources/updated": ("resourceSubscriptions", "resources", "subscribe"),
    }
)
"""What a server announces outside any call: the member of a subscription that asks for it, the capability it needs."""

UPDATED: Final = "notifications/resources/updated"
LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


def offered(wanted: Mapping[str, Any], capabilities: object) -> dict[str, Any]:
    """Return the part of a subscription's filter that a server with these capabilities can honour."""
    kept: dict[str, Any] = {}
    for member, capability, flag in CHANGES.values():
        asked = wanted.get(member)
        if asked and members(members(capabilities).get(capability)).get(flag) is True:
            kept[member] = asked
    return kept


def is_wanted(told: Message, wanted: Mapping[str, Any]) -> bool:
    """Say whether a subscription asks for this announcement; an update may name a part of the resource asked for."""
    change = CHANGES.get(told.method)
    if change is None:
        return False
    asked: object = wanted.get(change[0])
    if told.method != UPDATED:
        return asked is True
    uri, uris = (told.params or {}).get("uri"), cast("Sequence[str]", asked or ())
    return isinstance(uri, str) and any(uri == one or uri.startswith(f"{one.rstrip('/')}/") for one in uris)


def every_change(wanted: Mapping[str, Any]) -> list[Message]:
    """Return the announcements that say "look again" at all a subscription asks for: some may have been missed."""
    told = [message.notification(method) for method, (member, _, _) in CHANGES.items() if wanted.get(member) is True]
    uris = cast("Sequence[str]", wanted.get("resourceSubscriptions") or ())
    return [*told, *(message.notification(UPDATED, {"uri": uri}) for uri in uris)]


def is_logged(params: Mapping[str, Any] | None, level: str | None) -> bool:
    """Say whether a log message is at or above a level; never without one (MCP 2026-07-28, Logging)."""
    if level not in LEVELS:
        return False
    said = (params or {}).get("level")
    return said not in LEVELS or LEVELS.index(cast("str", said)) >= LEVELS.index(level)
