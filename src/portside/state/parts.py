"""Shared state that is open: one of each shape."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from portside.state.base import Counters, Leases, Ledger, Mailbox, News, Sessions, Streams


@dataclass(frozen=True, slots=True)
class State:
    """One store in all its shapes; `is_shared` says whether other processes have a part in it.

    `ping` returns once the store has taken a write, or raises StateUnavailable. `apart` opens leases on the same store
    for the event loop it is called on, with connections of their own; None where the store is this process.
    """

    sessions: Sessions
    streams: Streams
    counters: Counters
    leases: Leases
    mailbox: Mailbox
    news: News
    ledger: Ledger
    is_shared: bool
    ping: Callable[[], Awaitable[None]]
    apart: Callable[[], AbstractAsyncContextManager[Leases]] | None = None
