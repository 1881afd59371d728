"""A client of one legacy session whose streams break: it comes back with the last event id, as the stream said when."""

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from portside.wire.sse import Event
from tests.faults.calls import answers, initialize, initialized, of_session, resume
from tests.faults.wire import Answer, Connections
from tests.journeys.raw import post

Tool = Literal["read", "effect_idempotent", "effect"]
End = Literal["answered", "unknown", "broken", "refused", "late", "lost", "unresumable"]
"""How a call ended: with its result; with -31009; before the first event id, so that nothing can be asked for; with
another refusal; not at all; since its session, or its events, were not known any more."""

RETRY_MS: Final = 1000
"""How long to wait where no stream has said anything."""
PATIENCE_S: Final = 60.0
"""A call that is run again may be killed again, and again."""
UNKNOWN: Final = -31009
_BEFORE: Final = frozenset({-31003, -31004, -31010})
"""What a request is refused with before anything is made of it: not ready, busy, state away."""


@dataclass
class Heard:
    """What one call has heard: the events that carry something, in order, over all connections."""

    id: str
    tool: Tool
    steps: int
    request_id: int = 0
    end: End = "late"
    primed: str | None = None
    events: list[Event] = field(default_factory=list[Event])
    resumed: int = 0
    why: str = ""

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What was said."""
        return [json.loads(event.data) for event in self.events]


class Client:
    """One session, on whichever replica a request lands. `running` is the call under way.

    `killed_at` is set by whoever kills the replica that has the session; `continued` hears how long it took from there
    to the first event or answer on a request sent since.
    """

    def __init__(
        self, way: Connections, name: str, continued: Callable[["Client", float], None], chance: random.Random
    ) -> None:
        self.name = name
        self.session = ""
        self.running: Heard | None = None
        self.killed_at: float | None = None
        self.is_continued = asyncio.Event()
        self.is_killed_again = False
        self._way = way
        self._continued = continued
        self.chance = chance
        self._calls = 0
        self._retry_ms = RETRY_MS

    async def open(self) -> None:
        """Open the session. Raises TimeoutError where nobody lets it be opened."""
        async with asyncio.timeout(PATIENCE_S):
            opened = await self._ask(initialize())
            while opened.status != 200:
                await self._wait(opened)
                opened = await self._ask(initialize())
            self.session = opened.headers["mcp-session-id"]
            while (told := await self._ask(initialized(self.session))).status != 202:
                await self._wait(told)

    def killed(self) -> None:
        """Hear that the replica that has the session is killed now; again, where its successor may be."""
        self.is_killed_again = self.killed_at is not None
        self.killed_at = asyncio.get_running_loop().time()
        self.is_continued.clear()

    async def call(self, tool: Tool) -> Heard:
        """Call a tool that takes a while, and return all that came of it."""
        steps = self.chance.randint(3, 12)
        heard = self.running = Heard(f"{self.name}-{self._next()}", tool, steps)
        began, seconds = asyncio.get_running_loop().time(), steps * self.chance.uniform(0.05, 0.25)
        try:
            got = await self._post(heard, seconds)
            while not self._is_over(heard, got):
                if asyncio.get_running_loop().time() > began + PATIENCE_S:
                    heard.end, heard.why = "late", f"HTTP {got.status} {got.body[:200]!r}"
                    break
                await self._wait(got)
                if heard.primed is None:
                    got = await self._post(heard, seconds)
                else:
                    heard.resumed += 1
                    got = await self._hear(resume(self.session, _last(heard)), heard)
        finally:
            self.running = None
        return heard

    async def ping(self) -> int:
        """Return the status of a ping, once the session is at somebody who lives."""
        asked = {"jsonrpc": "2.0", "id": self._next(), "method": "ping"}
        began = asyncio.get_running_loop().time()
        while True:
            got = await self._ask(post(asked, of_session(self.session)))
            is_late = asyncio.get_running_loop().time() > began + PATIENCE_S
            if (0 < got.status < 500 and got.is_complete) or is_late:
                return got.status
            await self._wait(got)

    async def _post(self, heard: Heard, seconds: float) -> Answer:
        heard.request_id = self._next()
        arguments = {"id": heard.id, "steps": heard.steps, "seconds": seconds}
        params = {"name": heard.tool, "arguments": arguments, "_meta": {"progressToken": heard.id}}
        body = {"jsonrpc": "2.0", "id": heard.request_id, "method": "tools/call", "params": params}
        return await self._hear(post(body, of_session(self.session)), heard)

    def _next(self) -> int:
        self._calls += 1
        return self._calls

    def _is_over(self, heard: Heard, got: Answer) -> bool:
        """Say whether the call has ended, and write down how; where it has not, the client is to come again."""
        message = heard.messages[-1] if heard.events else None
        if got.is_complete and got.body:
            message = cast("dict[str, Any]", json.loads(got.body)) if got.body.startswith(b"{") else None
        error = cast("dict[str, Any]", (message or {}).get("error") or {})
        if got.status == 503 and error.get("code") in _BEFORE:
            return False
        if message is not None and message.get("id") == heard.request_id and "method" not in message:
            heard.end = "unknown" if error.get("code") == UNKNOWN else "refused" if error else "answered"
            heard.why = str(error or "")
            return True
        if got.status == 404:
            heard.end, heard.why = "lost", str(error)
            return True
        if 400 <= got.status < 500:
            heard.end, heard.why = "unresumable", f"HTTP {got.status} {error}"
            return True
        if heard.primed is None:
            heard.end, heard.why = "broken", f"HTTP {got.status}"
            return True
        return False

    async def _hear(self, request: bytes, heard: Heard) -> Answer:
        def is_last(event: Event) -> bool:
            self._retry_ms = event.retry_ms if event.retry_ms is not None else self._retry_ms
            if event.data:
                self._note(asked_at)
                heard.events.append(event)
            elif event.id is not None and heard.primed is None:
                heard.primed = event.id
            return answers(event.data, heard.request_id)

        asked_at = asyncio.get_running_loop().time()
        return await self._ask(request, is_last)

    async def _ask(self, request: bytes, is_last: Callable[[Event], bool] | None = None) -> Answer:
        asked_at = asyncio.get_running_loop().time()
        got = await self._way.ask(request, timeout_s=PATIENCE_S, is_last=is_last) or Answer()
        if 200 <= got.status < 300 and got.is_complete and not got.events:
            self._note(asked_at)
        return got

    def _note(self, asked_at: float) -> None:
        if self.killed_at is not None and asked_at >= self.killed_at:
            self._continued(self, asyncio.get_running_loop().time() - self.killed_at)
            self.killed_at = None
            self.is_continued.set()

    async def _wait(self, got: Answer) -> None:
        """Wait as long as the server said that one should before the next request."""
        after = got.headers.get("retry-after", "") if got.status >= 400 else ""
        seconds = float(after) if after.isdecimal() else self._retry_ms / 1000
        await asyncio.sleep(seconds)


def _last(heard: Heard) -> str:
    named = [event.id for event in heard.events if event.id is not None]
    return named[-1] if named else heard.primed or ""
