"""A hosted server made by hand, and replicas of portside in front of it that share one ledger."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from portside.clock import SystemClock
from portside.errors import StateUnavailable
from portside.gateway.annotations import Annotations
from portside.gateway.once import Once
from portside.hosting.base import Back, Call, Link
from portside.hosting.translated.listed import SILENT
from portside.state.base import Entry, Leases, Ledger, life
from portside.state.connect import State, memory_state
from portside.wire import classify, idempotency, message
from portside.wire.message import Message
from portside.wire.revisions import Era

Tool = Callable[[Message, Back], Awaitable[dict[str, Any]]]


def said(text: str, **more: Any) -> dict[str, Any]:
    """Return the result of a tool that says one thing."""
    return {"resultType": "complete", "content": [{"type": "text", "text": text}], **more}


class Shop:
    """A link with tools that count how often they were run. `gate` holds `slow` ones until it is set."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.keys: list[object] = []
        self.cancelled: list[str] = []
        self.entered = asyncio.Event()
        self.gate = asyncio.Event()
        self.error: Exception | None = None
        self.lists = 0
        self.hints: dict[str, dict[str, Any]] = {
            "read": {"annotations": {"readOnlyHint": True}},
            "set": {"annotations": {"readOnlyHint": False, "idempotentHint": True}},
            "careful": {"_meta": {idempotency.USES: True}},
        }

    def is_plain(self, message: Message) -> bool:
        return False

    async def request(self, message: Message, back: Back, call: Call) -> Message:
        params = message.params or {}
        if message.method == "tools/list":
            self.lists += 1
            tools = [{"name": name, "inputSchema": {"type": "object"}, **hint} for name, hint in self.hints.items()]
            return Message("response", id=message.id, result={"resultType": "complete", "tools": tools})
        name, arguments = params["name"], params.get("arguments", {})
        self.runs.append(name)
        self.keys.append(params["_meta"].get(idempotency.META))
        if self.error is not None:
            raise self.error
        try:
            return await self._run(name, arguments, message, back)
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise

    async def _run(self, name: str, arguments: dict[str, Any], asked: Message, back: Back) -> Message:
        params = asked.params or {}
        if arguments.get("hold"):
            await back.notify(message.notification("notifications/progress", {"progressToken": "t", "progress": 1}))
            self.entered.set()
            await self.gate.wait()
        if arguments.get("ask") == "old":
            self.entered.set()
            answer = await back.request(message.request("q", "elicitation/create", {"message": "who?"}))
            return message.response(asked.id, said(f"hello {answer.result}"))
        if arguments.get("ask") == "new" and "inputResponses" not in params:
            return message.response(
                asked.id, {"resultType": "input_required", "requestState": "s", "inputRequests": {}}
            )
        if arguments.get("fail") == "tool":
            return message.response(asked.id, said("no", isError=True))
        if isinstance(arguments.get("fail"), int):
            return message.failure(asked.id, arguments["fail"], "failed", arguments.get("data"))
        return message.response(asked.id, said(f"{name} {len(self.runs)}" + "x" * arguments.get("size", 0)))

    async def notify(self, message: Message, call: Call) -> None:
        return

    async def close(self) -> None:
        return


class Cut:
    """A ledger that can be cut off: before it hears (`is_cut`), or before it answers (`is_mute`)."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.is_cut = False
        self.is_mute = False
        self.asked = 0

    async def begin(self, key: str, digest: str, owner: str, *, ttl_ms: int) -> Entry:
        self._hear()
        entry = await self._ledger.begin(key, digest, owner, ttl_ms=ttl_ms)
        self._answer()
        return entry

    async def retake(self, key: str, digest: str, owner: str, *, token: int, ttl_ms: int) -> Entry:
        self._hear()
        entry = await self._ledger.retake(key, digest, owner, token=token, ttl_ms=ttl_ms)
        self._answer()
        return entry

    async def finish(self, key: str, outcome: bytes, *, token: int, ttl_ms: int) -> bool:
        self._hear()
        was_ours = await self._ledger.finish(key, outcome, token=token, ttl_ms=ttl_ms)
        self._answer()
        return was_ours

    async def forget(self, key: str, *, token: int) -> bool:
        self._hear()
        was_ours = await self._ledger.forget(key, token=token)
        self._answer()
        return was_ours

    def _hear(self) -> None:
        self.asked += 1
        if self.is_cut:
            raise StateUnavailable("the ledger is cut off by the test")

    def _answer(self) -> None:
        if self.is_mute:
            raise StateUnavailable("the ledger's answer is lost by the test")


@dataclass
class Replica:
    """One replica: its holder leases its life, and its ledger is the shared one through a line that can be cut."""

    holder: str
    once: Once
    link: Link
    ledger: Cut
    leases: Leases
    counted: list[str] = field(default_factory=list[str])

    async def kill(self) -> None:
        """Be gone for the others, without a last word; what runs here has nobody who would hear how it ends."""
        self.ledger.is_cut = True
        await self.leases.release(life(self.holder), self.holder)

    def ask(
        self,
        name: str = "buy",
        arguments: dict[str, Any] | None = None,
        *,
        key: object = "k1",
        principal: str | None = "ann",
        era: Era = "modern",
        back: Back = SILENT,
        id: int = 1,
        **more: Any,
    ) -> "asyncio.Task[Message]":
        """Call a tool, with a key unless that is None."""
        meta: dict[str, Any] = {} if key is None else {idempotency.META: key}
        if era == "modern":
            meta |= {classify.META_REVISION: "2026-07-28", classify.META_CAPABILITIES: {}}
        asked = message.request(id, "tools/call", {"name": name, "arguments": arguments or {}, "_meta": meta, **more})
        call = Call(era, "2026-07-28" if era == "modern" else "2025-11-25", capabilities={}, principal=principal)
        return asyncio.get_running_loop().create_task(self.link.request(asked, back, call))

    async def answer(self, *arguments: Any, **more: Any) -> Any:
        """Call a tool and return its text, or the code of its error."""
        return told(await self.ask(*arguments, **more))


def told(reply: Message) -> Any:
    """Return the text of a result, or the code of an error."""
    if reply.error is not None:
        return reply.error["code"]
    return (reply.result or {})["content"][0]["text"]


@asynccontextmanager
async def opened(
    shop: Shop,
    count: int = 1,
    *,
    state: State | None = None,
    ledger: Ledger | None = None,
    name: str = "r",
    **terms: Any,
) -> AsyncGenerator[list[Replica]]:
    """Yield replicas in front of `shop`, on one state in memory; nothing is left running afterwards.

    `name` is what their holders' names begin with; `terms` are those of `Once`.
    """
    async with memory_state(SystemClock()) as made:
        used = state or made
        found = [await _replica(shop, f"{name}{number}", used, ledger or used.ledger, terms) for number in range(count)]
        yield found
        for one in found:
            await one.once.close()


async def _replica(shop: Shop, holder: str, state: State, ledger: Ledger, terms: dict[str, Any]) -> Replica:
    leases, line, counted = state.leases, Cut(ledger), list[str]()
    await leases.acquire(life(holder), holder, ttl_ms=600_000)

    async def lives(other: str) -> bool:
        return await leases.holder(life(other)) is not None

    annotations = Annotations(shop, SystemClock())
    once = Once(line, holder, lives=lives, may_rerun=annotations.may_rerun, count=counted.append, **terms)
    return Replica(holder, once, once.link(shop), line, leases, counted)
