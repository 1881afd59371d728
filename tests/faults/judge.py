"""What became of a call, told from what its client received: pure."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from portside.wire.sse import Event
from tests.faults.calls import Call
from tests.faults.wire import Answer


class Outcome(StrEnum):
    """How a call ended for its client."""

    OK = "ok"
    TOOL_ERROR = "tool error"
    REFUSED = "refused"
    """A JSON-RPC error that says what is the case."""
    BROKEN = "broken"
    """The connection ended before the answer did: clean, since the client knows that it does not know."""
    LATE = "late"
    UNREACHABLE = "unreachable"
    UNCLEAR = "unclear"
    """An HTTP error without a JSON-RPC error, such as a proxy's own 502."""
    WRONG = "wrong"
    """Anything else: another call's answer, a wrong text, a stream that ended in order without its answer."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a call ended, why in words, and how many of its events came twice or not at all."""

    outcome: Outcome
    reason: str = ""
    duplicates: int = 0
    missing: int = 0


def judge(call: Call, answer: Answer | None, before: Sequence[Event] = ()) -> Verdict:
    """Judge an answer; `before` are the events that came on connections broken since, in order."""
    if answer is None:
        return Verdict(Outcome.UNREACHABLE)
    events = [*before, *answer.events]
    final, progress = _sorted(call, events)
    if final is None and answer.is_complete:
        final = _json(answer.body)
    duplicates = _repeated(events, progress)
    if isinstance(progress, str):
        return Verdict(Outcome.WRONG, progress, duplicates)
    if final is None:
        return Verdict(*_unanswered(answer), duplicates)
    verdict = _final(call, answer, final)
    missing = len(set(range(1, call.steps + 1)) - set(progress)) if verdict.outcome is Outcome.OK else 0
    if verdict.outcome is Outcome.OK and _firsts(progress) != sorted(set(progress)):
        return Verdict(Outcome.WRONG, f"progress out of order: {progress}", duplicates, missing)
    return Verdict(verdict.outcome, verdict.reason, duplicates, missing)


def _sorted(call: Call, events: Sequence[Event]) -> tuple[dict[str, Any] | None, list[int] | str]:
    """Return the answer among the events, and the numbers of the progress told; or what is wrong with it."""
    final: dict[str, Any] | None = None
    numbers: list[int] = []
    for event in events:
        message = _json(event.data.encode())
        if message is None:
            continue  # a priming event says nothing
        if message.get("method") == "notifications/progress":
            params = message["params"]
            if params.get("message") != f"{call.id} {int(params['progress'])}":
                return None, f"progress of another call: {params}"
            numbers.append(int(params["progress"]))
        elif "method" not in message:
            final = message
    return final, numbers


def _repeated(events: Sequence[Event], progress: list[int] | str) -> int:
    """Count what came more than once: progress by its number, everything by its event id."""
    ids = Counter(event.id for event in events if event.id is not None and event.data)
    numbers = Counter(progress) if isinstance(progress, list) else Counter[int]()
    twice = [sum(count - 1 for count in counted.values()) for counted in (ids, numbers)]
    return max(twice)


def _firsts(progress: list[int] | str) -> list[int]:
    return list(dict.fromkeys(progress)) if isinstance(progress, list) else []


def _unanswered(answer: Answer) -> tuple[Outcome, str]:
    if answer.is_late:
        return Outcome.LATE, f"HTTP {answer.status}, {len(answer.events)} events"
    if not answer.is_complete:
        return Outcome.BROKEN, f"HTTP {answer.status}, {len(answer.events)} events, {len(answer.body)} bytes"
    if answer.status >= 400:
        return Outcome.UNCLEAR, f"HTTP {answer.status}: {answer.body[:200]!r}"
    return Outcome.WRONG, f"HTTP {answer.status} without an answer: {answer.body[:200]!r}"


def _final(call: Call, answer: Answer, message: dict[str, Any]) -> Verdict:
    if "error" in message:
        error = _part(message, "error")
        if message.get("id") not in (call.request_id, None):
            return Verdict(Outcome.WRONG, f"an error for call {message.get('id')}: {error}")
        return Verdict(Outcome.REFUSED, f"HTTP {answer.status}, {error.get('code')}: {error.get('message')}")
    if message.get("id") != call.request_id or answer.status != 200:
        return Verdict(Outcome.WRONG, f"HTTP {answer.status} for call {message.get('id')}")
    result = _part(message, "result")
    content: list[Any] = result.get("content") or [{}]
    text = str(content[0].get("text"))
    if result.get("isError"):
        return Verdict(Outcome.TOOL_ERROR, text)
    return Verdict(Outcome.OK) if text == call.expected else Verdict(Outcome.WRONG, f"{text!r} for {call.expected!r}")


def _part(message: dict[str, Any], name: str) -> dict[str, Any]:
    part = message.get(name)
    return cast("dict[str, Any]", part) if isinstance(part, dict) else {}


def _json(data: bytes) -> dict[str, Any] | None:
    """Return the JSON object, None where it is none: a proxy's page, half an answer."""
    try:
        message = json.loads(data)
    except ValueError:
        return None
    return cast("dict[str, Any]", message) if isinstance(message, dict) else None
