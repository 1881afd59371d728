"""What is asked about every message before it goes on: may this caller do that, how often, and is it on record?"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from portside.auth.challenge import Challenges
from portside.auth.principal import ANONYMOUS
from portside.auth.scopes import Needs, Policy
from portside.gateway.http import Incoming
from portside.gateway.recording import Recorder
from portside.state.base import Counters, Limit, Verdict
from portside.wire import refusal
from portside.wire.excess import too_many
from portside.wire.message import Message
from portside.wire.refusal import Refusal

CALL: Final = "tools/call"
_EVERY: Final = Policy()


@dataclass(slots=True)
class Guard:
    """The rules of one deployment. Everything is judged by the parsed body, nothing by a header.

    `tools` are limits of one caller to single tools within `window_ms`, `max_calls` how many calls it may have at once,
    `is_limited` whether requests are counted at all.
    """

    policy: Policy = _EVERY
    challenges: Challenges = field(default_factory=lambda: Challenges(None))
    counters: Counters | None = None
    tools: Sequence[tuple[str, int]] = ()
    window_ms: int = 60_000
    max_calls: int | None = None
    is_limited: bool = False
    recorder: Recorder | None = None
    _limits: dict[str, int] = field(init=False)
    _running: dict[str, int] = field(init=False, default_factory=dict[str, int])
    _has_rules: bool = field(init=False)
    is_idle: bool = field(init=False)

    def __post_init__(self) -> None:
        self._limits = dict(self.tools)
        asks = bool(self._limits) or self.is_limited or self.max_calls is not None or self.recorder is not None
        self._has_rules = not self.policy.is_empty
        self.is_idle = not (self._has_rules or asks)

    async def admit(self, sent: Message, incoming: Incoming) -> None:
        """Return where the message may go on. Raises Refusal: 403, 429, or 503 where it cannot be put on record."""
        if self._has_rules:
            self._judge(sent.method if sent.kind != "response" else "", sent.params, sent, incoming)
        if sent.method == CALL and sent.kind == "request":
            if self._limits:
                await self._count(sent, incoming)
            if self.max_calls is not None:
                self._take_place(self.max_calls, sent, incoming)
            if self.recorder is not None:
                await self.recorder.start(sent, incoming)

    async def count_batch(self, size: int, incoming: Incoming) -> None:
        """Count what a batch holds beyond the one use it was counted as. Raises Refusal (429)."""
        limit = incoming.limit
        if limit is None or self.counters is None or size < 2:
            return
        if size - 1 > limit.most:
            raise Refusal(refusal.TOO_MANY, f"a batch of {size} is more than {limit.most} requests", id=None)
        verdict = await self.counters.hit((limit,), cost=size - 1)
        if not verdict.is_allowed:
            raise _used_up("requests in this batch", verdict)

    def check_stream(self, incoming: Incoming) -> None:
        """Check what every request needs, for one without a message. Raises Refusal."""
        self._judge("", None, None, incoming)

    def release(self, incoming: Incoming) -> None:
        """Give back what the calls of a request took; once it is over, however it ended."""
        held, incoming.held = incoming.held, 0
        if held and self.max_calls is not None:
            caller = caller_of(incoming)
            left = self._running.get(caller, 0) - held
            if left > 0:
                self._running[caller] = left
            else:
                self._running.pop(caller, None)

    def _judge(self, method: str, params: dict[str, object] | None, sent: Message | None, incoming: Incoming) -> None:
        verdict = self.policy.may(incoming.identity or ANONYMOUS, method, params)
        if isinstance(verdict, Needs):
            raise Refusal(
                refusal.NOT_ALLOWED,
                f"this needs the scopes {' '.join(sorted(verdict.scopes))}",
                data={"scopes": sorted(verdict.scopes)},
                id=sent.id if sent is not None else None,
                headers={"www-authenticate": self.challenges.insufficient(verdict.scopes)},
            )

    async def _count(self, sent: Message, incoming: Incoming) -> None:
        name = (sent.params or {}).get("name")
        tool = name if isinstance(name, str) else ""
        most = self._limits.get(tool)
        if most is None or self.counters is None:
            return
        limit = Limit(f"{caller_of(incoming)} {tool}", most, self.window_ms, "tool")
        verdict = await self.counters.hit((limit,))
        if not verdict.is_allowed:
            raise _used_up(f"calls of {tool!r}", verdict, id=sent.id)

    def _take_place(self, most: int, sent: Message, incoming: Incoming) -> None:
        caller = caller_of(incoming)
        running = self._running.get(caller, 0)
        if running >= most:
            text = f"too many calls at once: at most {most}; try again when one has ended"
            raise Refusal(refusal.TOO_MANY, text, id=sent.id, headers={"retry-after": "1"})
        self._running[caller] = running + 1
        incoming.held += 1


def caller_of(incoming: Incoming) -> str:
    """Return whose call this is, for limits: the principal, or the address where nobody says who they are."""
    if incoming.principal is not None:
        return incoming.principal
    return incoming.client[0] if incoming.client is not None else "unknown address"


def _used_up(what: str, verdict: Verdict, id: str | int | None = None) -> Refusal:
    limit = verdict.limit
    return too_many(what, most=limit.most, window_ms=limit.window_ms, retry_after_ms=verdict.retry_after_ms, id=id)
