"""A user with a token who asks every replica in both eras, and says what came of it; for tests of sick state."""

import asyncio
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from tests.faults.calls import LEGACY
from tests.faults.patience import SLACK
from tests.faults.wire import Answer, Connections
from tests.journeys.raw import get
from tests.protected.made import bearer, call, legacy

EXTRA_S: Final = 1.0 * SLACK
"""How much longer than usual an answer may take while state is sick (reliability bar, C6)."""

NORMAL_S: Final = 1.0 * SLACK
"""What an answer may take on a busy machine when all is well."""

STATE_AWAY: Final = -31010

_PATIENT_S: Final = 8.0 * SLACK
_HELLO: Final[Mapping[str, Any]] = {
    "protocolVersion": LEGACY,
    "capabilities": {},
    "clientInfo": {"name": "asker", "version": "1"},
}


@dataclass(frozen=True, slots=True)
class Told:
    """What one request was answered: `text` of a tool's result, or `code` of a JSON-RPC error. Status 0: nothing."""

    status: int
    text: str | None = None
    code: int | None = None
    retry_after: str | None = None
    is_late: bool = False
    raw: bytes = b""
    last_event: str | None = None

    @property
    def is_away(self) -> bool:
        """Whether it says, as it must, that state is away and when to come again."""
        return (self.status, self.code, self.retry_after) == (503, STATE_AWAY, "1")


@dataclass
class Asker:
    """One user. Every word of theirs holds their `canary`, so that it is known in anybody's answers."""

    name: str
    token: str
    ways: Sequence[Connections]
    canary: str = field(default_factory=lambda: f"canary-{secrets.token_hex(8)}")
    sent: int = 0

    def word(self) -> str:
        """Return a word nobody said before, of this user."""
        self.sent += 1
        return f"{self.canary}-{self.sent}"

    async def modern(self, at: int, tool: str, arguments: Mapping[str, Any], *, key: str | None = None) -> Told:
        """Make one modern call at a replica."""
        headers = None if key is None else {"Idempotency-Key": f'"{key}"'}
        return await self.send(at, call(tool, arguments, token=self.token, id=self._id(), headers=headers))

    async def open(self, at: int) -> str:
        """Open a legacy session at a replica and return its id, coming again where told to.

        Raises AssertionError where that fails, TimeoutError where it is still told to after 8 s.
        """
        async with asyncio.timeout(_PATIENT_S):
            request = legacy("initialize", _HELLO, session=bearer(self.token))
            while told_of(opened := await self._ask(at, request)).is_away:
                await asyncio.sleep(0.1)  # another process: there is nothing to wait on but its answer
        if opened.status != 200:
            raise AssertionError(f"initialize was answered with {opened.status}: {opened.body!r}")
        session = opened.headers["mcp-session-id"]
        told = await self._ask(at, legacy("notifications/initialized", session=self.head(session), id=None))
        if told.status != 202:
            raise AssertionError(f"initialized was answered with {told.status}: {told.body!r}")
        return session

    async def legacy(self, at: int, session: str, tool: str, arguments: Mapping[str, Any]) -> Told:
        """Make one call in a session at a replica."""
        return await self.send(at, self.legacy_call(session, tool, arguments))

    def legacy_call(self, session: str, tool: str, arguments: Mapping[str, Any], *, is_aloud: bool = False) -> bytes:
        """Return the request of one call in a session."""
        params: dict[str, Any] = {"name": tool, "arguments": dict(arguments)}
        if is_aloud:
            params["_meta"] = {"progressToken": 1}
        return legacy("tools/call", params, session=self.head(session), id=self._id())

    async def resume(self, at: int, session: str, last_event: str) -> Told:
        """Ask a replica for the rest of a stream, up to the answer on it."""
        request = get("/mcp", {**self.head(session), "Accept": "text/event-stream", "Last-Event-ID": last_event})
        answer = await self.ways[at].ask(
            request, timeout_s=EXTRA_S + NORMAL_S, is_last=lambda event: '"id":' in event.data
        )
        return told_of(answer or Answer())

    async def end(self, at: int, session: str) -> Told:
        """End a session."""
        return await self.send(at, get("/mcp", self.head(session), method="DELETE"))

    def head(self, session: str) -> dict[str, str]:
        """Return the headers of this user's requests within a session, whosever it is."""
        return {**bearer(self.token), "Mcp-Session-Id": session, "MCP-Protocol-Version": LEGACY}

    async def send(self, at: int, request: bytes, *, timeout_s: float = EXTRA_S + NORMAL_S) -> Told:
        """Send one request to a replica, and give up after `timeout_s`."""
        return told_of(await self._ask(at, request, timeout_s))

    async def _ask(self, at: int, request: bytes, timeout_s: float = EXTRA_S + NORMAL_S) -> Answer:
        return await self.ways[at].ask(request, timeout_s=timeout_s) or Answer()

    def _id(self) -> int:
        self.sent += 1
        return self.sent


def told_of(answer: Answer) -> Told:
    """Return what an answer says, JSON or stream."""
    texts = [event.data for event in answer.events] or [answer.body.decode(errors="replace")]
    message: dict[str, Any] = {}
    for text in texts:
        said: object = json.loads(text) if text.startswith("{") else None
        if isinstance(said, dict) and "method" not in said:
            message = cast("dict[str, Any]", said)
    error, result = message.get("error"), message.get("result")
    text = None
    if isinstance(result, dict):
        content: list[Any] = cast("dict[str, Any]", result).get("content") or [{}]
        text = content[0].get("text")
    code = cast("dict[str, Any]", error).get("code") if isinstance(error, dict) else None
    raw = answer.body + "\n".join(event.data for event in answer.events).encode()
    last = next((event.id for event in reversed(answer.events) if event.id), None)
    return Told(answer.status, text, code, answer.headers.get("retry-after"), answer.is_late, raw, last)
