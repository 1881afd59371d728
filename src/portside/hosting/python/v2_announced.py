"""What a server of the official SDK v2 announces, heard on the subscription bus its listen handler has."""

from collections.abc import Callable
from typing import Any

from mcp.server import Server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ServerEvent, SubscriptionBus
from mcp.shared.subscriptions import event_to_notification

from portside.wire import message
from portside.wire.message import Message

_LISTEN = "subscriptions/listen"


def bus(low: Server[Any]) -> SubscriptionBus | None:
    """Return the bus of the server's subscriptions, None where it serves none.

    Also one of the user's own kind: it may reach other replicas by itself, which only its author knows.
    """
    entry = low._request_handlers.get(_LISTEN)  # pyright: ignore[reportPrivateUsage]
    handler = None if entry is None else entry.handler
    return handler._bus if isinstance(handler, ListenHandler) else None  # pyright: ignore[reportPrivateUsage]


def overhear(low: Server[Any], heard: Callable[[Message], None]) -> Callable[[], None] | None:
    """Have `heard` told of every event on the server's bus, and return what ends that; None where there is no bus.

    Only the SDK's own bus is listened to. Whoever brings another kind has decided how far its events go, and hearing
    them at each replica that they reach would multiply them.
    """
    found = bus(low)
    if not isinstance(found, InMemorySubscriptionBus):
        return None

    def listen(event: ServerEvent) -> None:
        told = event_to_notification(event, {}).model_dump(by_alias=True, mode="json", exclude_none=True)
        heard(message.notification(told["method"], told.get("params")))

    return found.subscribe(listen)
