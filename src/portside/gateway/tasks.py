"""Tasks of the hosted server: which replica began each, so that whoever asks about one is answered where it runs."""

import hashlib
import logging
from types import CoroutineType
from typing import Any, Final

from portside.clock import Clock
from portside.errors import StateUnavailable
from portside.gateway.announced import is_elsewhere
from portside.hosting.around import AroundLink
from portside.hosting.base import Back, Call, Description, Link
from portside.state.base import Leases
from portside.wire import message as messages
from portside.wire import refusal
from portside.wire.message import Message

METHODS: Final = frozenset({"tasks/get", "tasks/update", "tasks/cancel"})
_TOLD_IN: Final = METHODS | {"tools/call"}

EXTRA_MS: Final = 60_000
"""How much longer than the task itself it is remembered whose it is."""

MAX_TTL_MS: Final = 24 * 60 * 60 * 1000
"""How long a task is remembered that has no end, or a later one, after it was last asked about."""

MAX_KNOWN: Final = 10_000

_log = logging.getLogger("portside.gateway")


def are_ours(description: Description) -> bool:
    """Say whether each replica's server has tasks of its own, which a server for all replicas has not."""
    return not is_elsewhere(description)


class Tasks:
    """Who began which task, in shared state under a digest of the task's id, for as long as the task lasts.

    Fails closed: a task that cannot be remembered is refused, since its client could not find it again.
    """

    def __init__(self, leases: Leases, holder: str, clock: Clock) -> None:
        self._leases = leases
        self._holder = holder
        self._clock = clock
        self._known: dict[str, float] = {}

    async def owner(self, asked: Message) -> str | None:
        """Return which replica a request about a task belongs to; None for any other, and for an unknown task.

        Raises StateUnavailable.
        """
        if asked.method not in METHODS:
            return None
        id_ = (asked.params or {}).get("taskId")
        if not isinstance(id_, str):
            return None
        # What began here is not looked up: somebody who polls would ask shared state each time.
        return self._holder if self._is_fresh(id_) else await self._leases.holder(_name(id_))

    async def remember(self, id_: str, ttl_ms: object) -> bool:
        """Keep a task of ours findable; False where another replica has one of the same id. Raises StateUnavailable."""
        if self._is_fresh(id_):
            return True
        # None is a task without end (MCP extension io.modelcontextprotocol/tasks).
        lasts_ms = min(max(ttl_ms, 0), MAX_TTL_MS) if isinstance(ttl_ms, int | float) else MAX_TTL_MS
        kept_ms = int(lasts_ms) + EXTRA_MS
        if await self._leases.acquire(_name(id_), self._holder, ttl_ms=kept_ms) is None:
            return False
        # Renewed once half of it is over, where anybody still asks by then.
        self._known.pop(id_, None)
        self._known[id_] = self._clock.monotonic() + kept_ms / 2000
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
        return True

    def _is_fresh(self, id_: str) -> bool:
        return self._clock.monotonic() < self._known.get(id_, float("-inf"))


class TaskLink(AroundLink):
    """A link whose answers are looked through for tasks, which are remembered before their clients learn of them."""

    def __init__(self, link: Link, tasks: Tasks) -> None:
        super().__init__(link)
        self._tasks = tasks

    def request(self, message: Message, back: Back, call: Call) -> "CoroutineType[Any, Any, Message]":
        if message.method in _TOLD_IN:
            return self._looked_through(message, back, call)
        return self._link.request(message, back, call)

    async def _looked_through(self, asked: Message, back: Back, call: Call) -> Message:
        reply = await self._link.request(asked, back, call)
        result = reply.result
        if result is None:
            return reply
        id_ = result.get("taskId")
        if not isinstance(id_, str) or (asked.method == "tools/call" and result.get("resultType") != "task"):
            return reply
        try:
            if await self._tasks.remember(id_, result.get("ttlMs")):
                return reply
        except StateUnavailable as error:
            _log.warning("a task was begun and could not be remembered: %s", error.message)
            text = f"a task was begun, and where it runs cannot be remembered now: {error.message}"
            return messages.failure(asked.id, refusal.STATE_AWAY, text)
        text = "the server gave a task the id of one at another replica: expected ids that no two processes give"
        _log.error("%s", text)
        return messages.failure(asked.id, refusal.INTERNAL_ERROR, text)


def _name(id_: str) -> str:
    return f"task/{hashlib.sha256(id_.encode()).hexdigest()[:40]}"
