"""A call that waits for its answer, and what the server says for it meanwhile, in the order it came."""

import asyncio
from collections import deque
from typing import Any, Final, cast

from portside.clock import Clock
from portside.errors import HostGone
from portside.hosting.base import Back
from portside.wire import classify, methods
from portside.wire import message as messages
from portside.wire.message import Message

MAX_BACKLOG: Final = 1024
MAX_BACKLOG_BYTES: Final = 4 * 1024 * 1024
"""What the server may have said for one call before whoever listens took it; what comes on top is dropped."""

LINGER_S: Final = 30.0
"""How long a cancelled call may still send log messages."""


class Backlog:
    """What was said and not passed on yet; bounded, because whoever listens may be slow."""

    def __init__(self) -> None:
        self._said: deque[tuple[Message, int]] = deque()
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._said)

    def put(self, message: Message, size_bytes: int) -> bool:
        """Keep a message; say whether there was room for it."""
        if len(self._said) >= MAX_BACKLOG or self._bytes + size_bytes > MAX_BACKLOG_BYTES:
            return False
        self._said.append((message, size_bytes))
        self._bytes += size_bytes
        return True

    def take(self) -> Message:
        """Return the oldest message and forget it."""
        message, size_bytes = self._said.popleft()
        self._bytes -= size_bytes
        return message


class Waiting:
    """One call on its way: what was asked, under which number, and who hears what comes."""

    __slots__ = ("_answer", "_backlog", "_lost", "_wake", "asked", "back", "number", "token", "wants_log")

    def __init__(self, number: int, asked: Message, back: Back) -> None:
        meta = meta_of(asked)
        self.number = number
        self.asked = asked
        self.back = back
        self.token: object = meta.get("progressToken")
        self.wants_log = isinstance(meta.get(classify.META_LOG_LEVEL), str)
        self._answer: Message | None = None
        self._lost: HostGone | None = None
        self._backlog: Backlog | None = None
        self._wake: asyncio.Future[None] | None = None

    @property
    def is_listening(self) -> bool:
        """Whether this is a subscription, which nothing but its own notifications belongs to."""
        return self.asked.method == methods.LISTEN

    def tell(self, message: Message, size_bytes: int) -> bool:
        """Keep a notification for whoever listens; say whether there was room for it."""
        if self._backlog is None:
            self._backlog = Backlog()
        taken = self._backlog.put(message, size_bytes)
        self._rouse()
        return taken

    def answer(self, message: Message) -> None:
        """Set the answer, in which the id is the asker's again. Only the first counts."""
        if self._answer is None:
            self._answer = message
            self._rouse()

    def lose(self, reason: HostGone) -> None:
        """Say that no answer will come."""
        self._lost = reason
        self._rouse()

    async def run(self) -> Message:
        """Pass on what is said until the answer has come, and return that. Raises HostGone."""
        while True:
            while self._backlog:
                await self.back.notify(self._backlog.take())
            if self._answer is not None:
                return self._answer
            if self._lost is not None:
                # One of its own for each call: they are raised in several tasks.
                raise HostGone(self._lost.message, hint=self._lost.hint)
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


class InFlight:
    """The calls that wait, and whose an unaddressed message may be."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._calls: dict[int, Waiting] = {}
        self._lingering: deque[float] = deque(maxlen=MAX_BACKLOG)

    def __len__(self) -> int:
        return len(self._calls)

    def all(self) -> list[Waiting]:
        """Return all of them, the oldest first."""
        return list(self._calls.values())

    def add(self, waiting: Waiting) -> None:
        """Add a call, which now is the latest."""
        self._calls[waiting.number] = waiting

    def remove(self, waiting: Waiting) -> None:
        """Forget a call."""
        del self._calls[waiting.number]

    def find(self, id_: object) -> Waiting | None:
        """Return the call that a number of ours means, also where the server made text of it."""
        if isinstance(id_, str) and id_.isascii() and id_.isdigit() and len(id_) < 19:
            id_ = int(id_)
        return self._calls.get(id_) if type(id_) is int else None

    def latest(self) -> Waiting | None:
        """Return the newest call, subscriptions left aside."""
        return next((one for one in reversed(self._calls.values()) if not one.is_listening), None)

    def logging(self) -> Waiting | None:
        """Return the one call that log messages can belong to; None where there are several, or none."""
        now = self._clock.monotonic()
        while self._lingering and self._lingering[0] <= now:
            self._lingering.popleft()
        asking = [one for one in self._calls.values() if one.wants_log]
        return asking[0] if len(asking) == 1 and not self._lingering else None

    def linger(self) -> None:
        """Note that a cancelled call may still send log messages for a while, which are nobody else's."""
        self._lingering.append(self._clock.monotonic() + LINGER_S)


def numbered(message: Message, number: int) -> Message:
    """Return the request under our number, which also is its progress token where it has one."""
    params, meta = message.params, meta_of(message)
    if params is not None and meta.get("progressToken") is not None:
        params = {**params, "_meta": {**meta, "progressToken": number}}
    return messages.request(number, message.method, params)


def meta_of(message: Message) -> dict[str, Any]:
    """Return `params._meta`, empty where there is none."""
    return meta_in(message.params) if message.params else {}


def meta_in(holder: dict[str, Any]) -> dict[str, Any]:
    """Return the `_meta` of params or of a result, empty where there is none."""
    meta: object = holder.get("_meta")
    return cast("dict[str, Any]", meta) if isinstance(meta, dict) else {}
