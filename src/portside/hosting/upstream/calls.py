"""The calls under way in one session at a legacy upstream: ids and progress tokens are ours there, not the client's.

One session carries many calls at once, and repeats one of them after the upstream forgot it; numbers that are used once
cannot meet, nor can their string forms, which some servers answer with.
"""

import itertools
from dataclasses import dataclass
from typing import Any, cast

from portside.hosting.base import Back, Call
from portside.hosting.upstream.questions import Questions
from portside.wire import message
from portside.wire.message import Id, Message


@dataclass(slots=True, eq=False)
class RunningCall:
    """A call as it was sent, and whom it is for. `progress_token` is the client's, None where it wants no progress."""

    sent: Message
    back: Back
    questions: Questions
    progress_token: object = None
    is_cancel_told: bool = False


class Calls:
    """Finds a call by the client's id, and by the progress token it was sent with."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._by_id: dict[Id, RunningCall] = {}
        self._by_token: dict[object, RunningCall] = {}

    def next_id(self) -> int:
        """Return an id that was never used in this session."""
        return next(self._ids)

    def begin(self, asked: Message, back: Back, questions: Questions) -> RunningCall:
        """Return the call as it is to be sent."""
        own = self.next_id()
        params, token = _with_progress_token(asked.params, own)
        running = RunningCall(message.request(own, asked.method, params), back, questions, token)
        self._by_id[cast("Id", asked.id)] = self._by_token[own] = running
        return running

    def end(self, asked: Message, running: RunningCall) -> None:
        """Forget a call, and withdraw what it still asks."""
        self._by_id.pop(cast("Id", asked.id), None)
        self._by_token.pop(running.sent.id, None)
        running.questions.close()

    def renamed_cancel(self, told: Message) -> Message | None:
        """Return a client's cancellation as the upstream understands it, None where no such call is under way."""
        params = told.params or {}
        id_: object = params.get("requestId")
        running = self._by_id.get(id_) if isinstance(id_, str | int) else None
        if running is None:
            return None
        running.is_cancel_told = True
        return message.notification(told.method, {**params, "requestId": running.sent.id})

    async def take(self, told: Message, back: Back, questions: Questions, call: Call) -> None:
        """Act on what the upstream said on a channel; progress goes to its call, whatever channel it came on."""
        params = told.params or {}
        if told.kind == "request":
            questions.ask(told, back, call)
        elif told.method == "notifications/cancelled":
            questions.withdraw(params.get("requestId"))
        elif told.method == "notifications/progress":
            await self._take_progress(told.method, params)
        else:
            await back.notify(told)

    async def _take_progress(self, method: str, params: dict[str, Any]) -> None:
        token: object = params.get("progressToken")
        running = self._by_token.get(token) if isinstance(token, str | int) else None
        if running is not None and running.progress_token is not None:
            renamed = {**params, "progressToken": running.progress_token}
            await running.back.notify(message.notification(method, renamed))


def _with_progress_token(params: dict[str, Any] | None, token: int) -> tuple[dict[str, Any] | None, object]:
    """Return the params with our own progress token, and the client's, None where it wants no progress."""
    meta: object = params.get("_meta") if params else None
    known = cast("dict[str, Any]", meta) if isinstance(meta, dict) else {}
    if params is None or "progressToken" not in known:
        return params, None
    return {**params, "_meta": {**known, "progressToken": token}}, known["progressToken"]
