"""Admission: how many at once, and that every place is given back."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from portside.edge.asgi import Receive, Scope, Send
from portside.edge.limit import EXEMPT, Admission
from portside.edge.stack import EdgeOptions, build
from portside.observe.record import Record
from tests.edge.asked import GONE, Inner, answer, ask, part, request

pytestmark = pytest.mark.anyio


class Held:
    """An application that answers when told to; `began` says one more is inside."""

    def __init__(self) -> None:
        self.began = asyncio.Semaphore(0)
        self.go = asyncio.Event()
        self.releases: list[Callable[[], None]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "portside.release" in scope:
            self.releases.append(scope["portside.release"])
        self.began.release()
        await self.go.wait()
        await answer(send)


async def test_past_the_limit_is_503_at_once_with_a_time_to_come_back() -> None:
    held = Held()
    admission = Admission(held, max_in_flight=2)
    running = [asyncio.create_task(ask(admission, request())) for _ in range(2)]
    for _ in running:
        await held.began.acquire()
    refused = await ask(admission, request())
    assert (refused.status, refused.all(b"retry-after")) == (503, [b"1"])
    assert refused.record.outcome == "refused"
    held.go.set()
    assert [(await one).status for one in running] == [200, 200]
    assert admission.in_flight == 0
    assert (await ask(admission, request())).status == 200


@pytest.mark.parametrize("path", sorted(EXEMPT))
async def test_probes_are_let_in_and_take_no_place(path: str) -> None:
    inner = Inner()
    admission = Admission(inner, max_in_flight=0)
    assert (await ask(admission, request(path=path))).status == 200
    assert "portside.release" not in inner.seen[0]
    for other in (path + "/", path.upper(), "/mcp" + path):
        assert (await ask(admission, request(path=other))).status == 503


async def test_a_place_is_given_back_after_an_exception() -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError

    admission = Admission(failing, max_in_flight=1)
    for _ in range(3):
        with pytest.raises(LookupError):
            await ask(admission, request())
    assert admission.in_flight == 0


async def test_a_place_is_given_back_after_cancellation() -> None:
    held = Held()
    admission = Admission(held, max_in_flight=1)
    running = asyncio.create_task(ask(admission, request()))
    await held.began.acquire()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert admission.in_flight == 0


async def test_a_stream_that_stays_open_gives_its_place_back_once() -> None:
    held = Held()
    admission = Admission(held, max_in_flight=1)
    streaming = asyncio.create_task(ask(admission, request()))
    await held.began.acquire()
    held.releases[0]()
    held.releases[0]()
    assert admission.in_flight == 0
    other = asyncio.create_task(ask(admission, request()))
    await held.began.acquire()
    held.releases[0]()
    assert admission.in_flight == 1
    assert (await ask(admission, request())).status == 503
    held.go.set()
    await asyncio.gather(streaming, other)
    assert admission.in_flight == 0


@pytest.mark.parametrize("script", [[GONE], [part(b"{", more=True), GONE], [part(b"x" * 11)]])
async def test_behind_the_whole_edge_a_place_is_given_back_however_the_body_ends(
    script: list[dict[str, object]],
) -> None:
    records: list[Record] = []
    edge = build(Inner(), EdgeOptions(max_in_flight=1, max_body_bytes=10), records.append)
    for _ in range(3):
        await ask(edge, request(), *script)
    assert (await ask(edge, request())).status == 200
    assert len(records) == 4


async def test_a_slow_sender_counts() -> None:
    edge = build(Inner(), EdgeOptions(max_in_flight=1), lambda record: None)
    asked = asyncio.Event()

    async def receive() -> dict[str, object]:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: object) -> None:
        raise AssertionError

    async def send_slowly() -> None:
        await edge(request(), receive, send)

    slow = asyncio.create_task(send_slowly())
    await asked.wait()
    assert (await ask(edge, request())).status == 503
    slow.cancel()
    with suppress(asyncio.CancelledError):
        await slow
    assert (await ask(edge, request())).status == 200


async def test_refusals_of_the_head_take_no_place() -> None:
    edge = build(Inner(), EdgeOptions(max_in_flight=0), lambda record: None)
    assert (await ask(edge, request([(b"host", b"evil.example")]))).status == 421
