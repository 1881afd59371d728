"""The multiplexer against any bytes and any order of answers, over a wire that only remembers."""

import asyncio
import json
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portside.clock import ManualClock
from portside.errors import HostGone
from portside.hosting.stdio.backoff import Backoff, Patience
from portside.hosting.stdio.envelope import Malformed, answered, parse
from portside.hosting.stdio.lines import Lines, Oversized
from portside.hosting.stdio.multiplex import Multiplex
from portside.hosting.stdio.trickle import Trickle
from portside.wire import message
from portside.wire.message import Message
from tests.stdio.driving import LEGACY, MODERN, Remembering, tool

pytestmark = pytest.mark.anyio

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.sampled_from(["jsonrpc", "id", "method", "params", "result", "error", "_meta"])
METHODS = st.sampled_from(
    [
        "ping",
        "elicitation/create",
        "files/list",
        "notifications/cancelled",
        "notifications/progress",
        "notifications/message",
        "notifications/resources/updated",
        "",
    ]
)
IDS = st.integers(-2, 5) | st.sampled_from(["1", "2", "x", "²", None, 1.0, True, [1], 10**30])
META = st.fixed_dictionaries({}, optional={"io.modelcontextprotocol/subscriptionId": IDS})
PARAMS = st.fixed_dictionaries({}, optional={"progressToken": IDS, "requestId": IDS, "_meta": META | JSON}) | JSON
ENVELOPES = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0")},
    optional={
        "id": IDS,
        "method": METHODS,
        "params": PARAMS,
        "result": st.fixed_dictionaries({}, optional={"_meta": META | JSON}) | JSON,
        "error": st.fixed_dictionaries({"code": st.integers(), "message": st.text(max_size=5)}) | JSON,
    },
)
LINES = (
    st.binary(max_size=60)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(MEMBERS, JSON, max_size=5).map(lambda value: json.dumps(value).encode())
    | ENVELOPES.map(lambda value: json.dumps(value).encode())
    | st.lists(ENVELOPES, max_size=3).map(lambda value: json.dumps(value).encode())
)


class Wire:
    """Remembers what was written."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    async def write(self, line: bytes) -> None:
        self.lines.append(line)

    def write_soon(self, line: bytes) -> bool:
        self.lines.append(line)
        return True

    def written(self) -> list[dict[str, Any]]:
        return [cast("dict[str, Any]", json.loads(line)) for line in self.lines]


def connected(*, is_shared: bool) -> tuple[Multiplex, Wire]:
    wire, calls = Wire(), Multiplex("test", Remembering(), is_shared=is_shared, clock=ManualClock())
    calls.attach(wire)
    return calls, wire


async def settle() -> None:
    """Let every task take the steps it can."""
    for _ in range(5):
        await asyncio.sleep(0)


@given(lines=st.lists(LINES, max_size=12), is_shared=st.booleans())
@settings(max_examples=150, deadline=None)
def test_no_line_breaks_it_and_every_call_ends(lines: list[bytes], is_shared: bool) -> None:
    async def run() -> None:
        calls, wire = connected(is_shared=is_shared)
        asked = [
            tool("a", meta={"progressToken": 1}),
            message.request("s", "subscriptions/listen", {}),
            tool("b", meta={"io.modelcontextprotocol/logLevel": "info"}),
        ]
        tasks = [asyncio.create_task(calls.request(one, Remembering(), MODERN)) for one in asked]
        await settle()
        for line in lines:
            calls.receive(line)
            await settle()
        calls.lost(HostGone("over"))
        for one, outcome in zip(asked, await asyncio.gather(*tasks, return_exceptions=True), strict=True):
            if isinstance(outcome, Message):
                assert outcome.id == one.id
                outcome.encode()
            else:
                assert isinstance(outcome, HostGone)
        assert calls.in_flight == 0
        await settle()
        assert len(asyncio.all_tasks()) == 1
        assert all(line.count(b"\n") == 0 for line in wire.lines)

    asyncio.run(run())


@given(order=st.permutations(range(6)), is_text=st.booleans())
@settings(max_examples=60, deadline=None)
def test_answers_in_any_order_reach_their_callers(order: list[int], is_text: bool) -> None:
    async def run() -> None:
        calls, wire = connected(is_shared=True)
        tasks = [
            asyncio.create_task(calls.request(tool("t", {"n": n}, id="same"), Remembering(), MODERN)) for n in range(6)
        ]
        await settle()
        for index in order:
            sent = wire.written()[index]
            id_ = str(sent["id"]) if is_text else sent["id"]
            calls.receive(message.response(id_, {"n": sent["params"]["arguments"]["n"]}).encode())
        assert [(reply.id, reply.result) for reply in await asyncio.gather(*tasks)] == [
            ("same", {"n": n}) for n in range(6)
        ]

    asyncio.run(run())


@given(pieces=st.lists(st.binary(max_size=40).map(lambda part: part.replace(b"\r", b"")), max_size=30))
def test_lines_are_those_of_the_whole_however_it_comes(pieces: list[bytes]) -> None:
    lines, whole = Lines(10), b"".join(pieces)
    for piece in pieces:
        lines.feed(piece)
    lines.finish()
    found: list[bytes | int] = []
    while (line := lines.take()) is not None:
        found.append(line.size if isinstance(line, Oversized) else line)
    assert found == [part if len(part) <= 10 else len(part) for part in whole.split(b"\n") if part]


@given(line=LINES)
@settings(max_examples=300)
def test_a_line_is_messages_or_malformed(line: bytes) -> None:
    try:
        found = parse(line)
    except Malformed:
        return
    assert found
    for one in found:
        assert json.loads(one.encode())["jsonrpc"] == "2.0"


def test_deep_nesting_is_malformed() -> None:
    with pytest.raises(Malformed):
        parse(b'{"jsonrpc":"2.0","id":1,"result":' + b'{"a":' * 100_000)


@pytest.mark.parametrize(
    ("head", "tail", "id_"),
    [
        (b'{"jsonrpc":"2.0","id":7,"result":{"a":"', b'"}}', 7),
        (b'{"jsonrpc": "2.0", "id": "7", "error": {', b"}}", 7),
        (b'{"result":{"a":"', b'"},"jsonrpc":"2.0","id":7}', 7),
        (b'{"result":{"a":"', b'","id":7}}', None),
        (b'{"jsonrpc":"2.0","method":"notifications/message","params":{"id":7,"a":"', b'"}}', None),
        (b'{"jsonrpc":"2.0","method":"x","params":{', b'},"id":7}', None),
        (b"xxxx", b'"id":7}', None),
    ],
)
def test_what_a_line_too_long_answers_is_told_by_its_ends_or_not_at_all(head: bytes, tail: bytes, id_: object) -> None:
    assert answered(Oversized(head, tail, 10**9)) == id_


async def test_an_answer_that_is_no_json_fails_its_call_at_once() -> None:
    calls, _ = connected(is_shared=True)
    call = asyncio.create_task(calls.request(tool("nan"), Remembering(), MODERN))
    await settle()
    calls.receive(b'{"jsonrpc": "2.0", "id": 1, "result": {"content": [], "structuredContent": {"x": NaN}}}')
    assert ((await call).error or {})["code"] == -32603


async def test_a_question_withdrawn_before_it_was_put_is_forgotten() -> None:
    calls, wire = connected(is_shared=False)
    back = Remembering()
    call = asyncio.create_task(calls.request(tool("t"), back, LEGACY))
    await settle()
    calls.receive(b'{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{}}')
    calls.receive(b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"q"}}')
    await settle()
    assert back.asked == []
    assert len(wire.lines) == 1
    calls.receive(b'{"jsonrpc":"2.0","id":1,"result":{}}')
    await call


async def test_initialize_is_not_cancelled_at_the_server() -> None:
    calls, wire = connected(is_shared=False)
    call = asyncio.create_task(calls.request(message.request(1, "initialize", {}), Remembering(), LEGACY))
    await settle()
    call.cancel()
    await asyncio.wait([call])
    assert [sent["method"] for sent in wire.written()] == ["initialize"]


async def test_what_a_server_says_on_its_own_goes_to_the_connection_in_order() -> None:
    back = Remembering()
    calls = Multiplex("test", back, is_shared=False)
    calls.attach(Wire())
    for number in range(3):
        calls.receive(message.notification("notifications/message", {"data": number}).encode())
    await settle()
    assert [(told.params or {})["data"] for told in back.told] == [0, 1, 2]


async def test_a_slow_listener_loses_notifications_and_not_the_answer() -> None:
    gate = asyncio.Event()

    class Slow(Remembering):
        async def notify(self, message: Message) -> None:
            await gate.wait()
            await super().notify(message)

    back = Slow()
    calls, _ = connected(is_shared=False)
    call = asyncio.create_task(calls.request(tool("t", meta={"progressToken": "p"}), back, LEGACY))
    await settle()
    for step in range(5000):
        calls.receive(message.notification("notifications/progress", {"progressToken": 1, "progress": step}).encode())
    calls.receive(b'{"jsonrpc":"2.0","id":1,"result":{}}')
    gate.set()
    assert (await call).result == {}
    assert 1000 < len(back.told) < 1100
    assert calls.strays > 3900


def test_waits_double_up_to_the_longest_and_are_forgotten_after_a_stable_time() -> None:
    clock = ManualClock()
    backoff = Backoff(clock, Patience(first_s=0.1, longest_s=0.5, stable_s=60, max_starts=100))
    waits: list[float] = []
    for _ in range(5):
        backoff.started()
        backoff.failed()
        waits.append(round(backoff.wait_s, 6))
        clock.advance(backoff.wait_s)
        assert backoff.wait_s == 0
    assert waits == [0.1, 0.2, 0.4, 0.5, 0.5]
    backoff.started()
    clock.advance(60)
    backoff.failed()
    assert round(backoff.wait_s, 6) == 0.1


def test_too_many_failures_in_the_window_are_a_crash_loop_until_the_pause_is_over() -> None:
    clock = ManualClock()
    backoff = Backoff(clock, Patience(max_starts=3, window_s=60, pause_s=30))
    for pause in (50, 11, 0):
        backoff.failed()
        clock.advance(pause)
    assert not backoff.is_looping
    backoff.failed()
    assert backoff.is_looping
    assert backoff.wait_s == 30
    clock.advance(30)
    assert not backoff.is_looping
    for _ in range(3):
        backoff.failed()
    backoff.recovered()
    assert (backoff.is_looping, backoff.wait_s) == (False, 0)


def test_a_trickle_admits_a_burst_then_a_rate_and_counts_the_rest() -> None:
    clock = ManualClock()
    trickle = Trickle(clock, burst=3, per_s=2)
    assert [trickle.admit() for _ in range(5)] == [True, True, True, False, False]
    clock.advance(0.5)
    assert [trickle.admit() for _ in range(2)] == [True, False]
    assert (trickle.take_refused(), trickle.take_refused()) == (3, 0)
