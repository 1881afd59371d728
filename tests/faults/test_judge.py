"""What became of a call is told from what its client received: pure, every outcome once."""

import json
from collections.abc import Sequence
from typing import Any, Final

import pytest

from portside.wire.sse import Event
from tests.faults.calls import Call
from tests.faults.judge import Outcome, Verdict, judge
from tests.faults.wire import Answer

EFFECT: Final = Call(7, "x-7", "effect")
SLOW: Final = Call(7, "x-7", "slow", seconds=1, steps=3)


def result(text: str = "x-7", *, id: int = 7, is_error: bool = False) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": text}], "isError": is_error}}


def error(id: int | None = 7) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "error": {"code": -32000, "message": "draining"}}


def whole(body: dict[str, Any], status: int = 200) -> Answer:
    return Answer(status=status, body=json.dumps(body).encode(), is_complete=True)


def progress(number: int, *, of: str = "x-7", id: str | None = None) -> Event:
    params = {"progressToken": of, "progress": number, "total": 3, "message": f"{of} {number}"}
    return Event(json.dumps({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}), id=id)


def stream(*events: Event, is_complete: bool = True) -> Answer:
    return Answer(status=200, events=list(events), is_complete=is_complete)


def last(id: str | None = None) -> Event:
    return Event(json.dumps(result()), id=id)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (whole(result()), Outcome.OK),
        (whole(result("no", is_error=True)), Outcome.TOOL_ERROR),
        (whole(error(), 503), Outcome.REFUSED),
        (whole(error(None), 404), Outcome.REFUSED),
        (whole(error(8), 503), Outcome.WRONG),
        (whole(result("x-8")), Outcome.WRONG),
        (whole(result(id=8)), Outcome.WRONG),
        (Answer(status=502, body=b"<h1>Bad Gateway</h1>", is_complete=True), Outcome.UNCLEAR),
        (Answer(status=200, is_complete=True), Outcome.WRONG),
        (Answer(), Outcome.BROKEN),
        (Answer(status=200, body=b'{"jsonrpc"'), Outcome.BROKEN),
        (Answer(is_late=True), Outcome.LATE),
        (None, Outcome.UNREACHABLE),
    ],
)
def test_one_answer_has_one_outcome(answer: Answer | None, outcome: Outcome) -> None:
    assert judge(EFFECT, answer).outcome is outcome


@pytest.mark.parametrize(
    ("before", "events", "expected"),
    [
        ([], [progress(1), progress(2), progress(3), last()], Verdict(Outcome.OK)),
        ([progress(1, id="a.1")], [progress(2, id="a.2"), progress(3, id="a.3"), last("a.4")], Verdict(Outcome.OK)),
        ([progress(1, id="a.1")], [progress(1, id="a.1"), progress(3, id="a.3"), last("a.4")], None),
        ([], [progress(1), progress(2), progress(2), progress(3), last()], Verdict(Outcome.OK, duplicates=1)),
        ([], [progress(1), progress(3), last()], Verdict(Outcome.OK, missing=1)),
    ],
)
def test_events_that_come_twice_or_not_at_all_are_counted(
    before: Sequence[Event], events: Sequence[Event], expected: Verdict | None
) -> None:
    assert judge(SLOW, stream(*events), before) == (expected or Verdict(Outcome.OK, duplicates=1, missing=1))


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (stream(progress(1), is_complete=False), Outcome.BROKEN),
        (stream(progress(1)), Outcome.WRONG),
        (stream(progress(1), progress(1, of="y-8"), last()), Outcome.WRONG),
        (stream(progress(2), progress(1), progress(3), last()), Outcome.WRONG),
    ],
)
def test_a_stream_without_its_own_answer_is_not_ok(answer: Answer, outcome: Outcome) -> None:
    assert judge(SLOW, answer).outcome is outcome


def test_a_stream_whose_rest_is_refused_is_refused() -> None:
    assert judge(SLOW, whole(error(None), 404), [progress(1)]).outcome is Outcome.REFUSED
