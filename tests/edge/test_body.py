"""The body: whole, bounded and in time, or not at all."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.edge.asgi import Message, Receive, Scope, Send
from portside.edge.body import Body
from tests.edge.asked import GONE, HOST, STALLED, Inner, Pairs, answer, ask, part, request

pytestmark = pytest.mark.anyio

LIMIT = 10


def capped(inner: Inner) -> Body:
    return Body(inner, max_bytes=LIMIT, timeout_s=30)


def hurried(inner: Inner) -> Body:
    return Body(inner, max_bytes=LIMIT, timeout_s=0.001)


def sized(length: bytes) -> Pairs:
    return [HOST, (b"content-length", length)]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([b""], b""),
        ([b"{}"], b"{}"),
        ([b"01234", b"56789"], b"0123456789"),
        ([b"", b"{", b"", b"}", b""], b"{}"),
        ([b"0123456789", b""], b"0123456789"),
    ],
)
async def test_a_body_is_handed_on_whole_however_it_came(parts: list[bytes], expected: bytes) -> None:
    inner = Inner()
    script = [part(one, more=index < len(parts) - 1) for index, one in enumerate(parts)]
    answer = await ask(capped(inner), request(), *script)
    assert answer.status == 200
    assert inner.seen[0]["portside.body"] == expected
    assert answer.record.bytes_in == len(expected)


async def test_the_next_layer_may_read_it_once_more_and_then_sees_what_follows() -> None:
    received: list[Message] = []

    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        received.extend([await receive(), await receive()])
        await answer(send)

    script = [part(b"{", more=True), part(b"}"), GONE]
    await ask(Body(reading, max_bytes=LIMIT, timeout_s=30), request(), *script)
    assert received == [part(b"{}"), GONE]


@pytest.mark.parametrize("length", [b"11", b"4194304", b"9" * 30, b"0000011"])
async def test_a_body_announced_too_large_is_refused_unread(length: bytes) -> None:
    inner = Inner()
    answer = await ask(capped(inner), request(sized(length)), STALLED)
    assert (answer.status, answer.all(b"connection")) == (413, [b"close"])
    assert inner.seen == []


@pytest.mark.parametrize("length", [b"10", b"0", b"-1", b"x", b"", b"\xb2"])
async def test_a_body_announced_otherwise_is_counted(length: bytes) -> None:
    assert (await ask(capped(Inner()), request(sized(length)), part(b"0123456789"))).status == 200
    assert (await ask(capped(Inner()), request(sized(length)), part(b"01234567890"))).status == 413


@pytest.mark.parametrize(
    "script",
    [
        [part(b"01234567890")],
        [part(b"01234567890", more=True)],
        [part(b"0123456789", more=True), part(b"0")],
        [part(b"0123456789", more=True), part(b"0", more=True), STALLED],
        [part(b"0", more=True)] * 11,
    ],
)
@pytest.mark.parametrize("is_complete", [True, False])
async def test_a_body_over_the_limit_is_refused_as_soon_as_it_is_over(script: list[Message], is_complete: bool) -> None:
    inner = Inner()
    scope = request(also={"portside.complete": True} if is_complete else {})
    answer = await ask(capped(inner), scope, *script)
    assert (answer.status, answer.all(b"connection")) == (413, [b"close"])
    assert (answer.record.outcome, inner.seen) == ("refused", [])


@pytest.mark.parametrize(
    "script", [[STALLED], [part(b"{", more=True), STALLED], [part(b"", more=True), part(b"{", more=True), STALLED]]
)
async def test_a_body_that_does_not_come_in_time_is_refused(script: list[Message]) -> None:
    inner = Inner()
    answer = await ask(hurried(inner), request(), *script)
    assert (answer.status, answer.all(b"connection")) == (408, [b"close"])
    assert (answer.record.outcome, inner.seen) == ("refused", [])


async def test_a_sender_of_single_bytes_is_not_given_more_time_for_each() -> None:
    async def dripping() -> Message:
        await asyncio.sleep(0)
        return part(b"", more=True)

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async with asyncio.timeout(5):
        await hurried(Inner())(request(), dripping, send)
    assert sent[0]["status"] == 408


async def test_the_deadline_is_for_the_body_not_for_the_answer() -> None:
    released = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await released.wait()
        await answer(send)

    asyncio.get_running_loop().call_later(0.01, released.set)
    assert (await ask(Body(slow, max_bytes=LIMIT, timeout_s=0.001), request())).status == 200


@pytest.mark.parametrize(
    "script",
    [
        [GONE],
        [part(b"{", more=True), GONE],
        [part(b"{}", more=True), GONE],
        [part(b"", more=True), GONE],
        [part(b"0123456789", more=True), GONE],
    ],
)
@pytest.mark.parametrize("is_complete", [True, False])
async def test_a_truncated_body_is_never_passed_on(script: list[Message], is_complete: bool) -> None:
    inner = Inner()
    scope = request(also={"portside.complete": True} if is_complete else {})
    answer = await ask(capped(inner), scope, *script)
    assert inner.seen == []
    assert (answer.status, answer.sent) == (0, [])
    assert answer.record.outcome == "cancelled"


@given(parts=st.lists(st.binary(max_size=6), min_size=1, max_size=6), cut=st.integers(0, 6))
async def test_whatever_the_pieces_the_body_is_whole_or_refused_or_gone(parts: list[bytes], cut: int) -> None:
    inner = Inner()
    script = [part(one, more=index < len(parts) - 1) for index, one in enumerate(parts)]
    whole = b"".join(parts)
    answer = await ask(capped(inner), request(), *script[:cut], *([GONE] if cut < len(script) else []))
    is_over = len(b"".join(parts[:cut])) > LIMIT
    is_cut = cut < len(script)
    assert answer.status == (413 if is_over else 0 if is_cut else 200)
    assert [scope["portside.body"] for scope in inner.seen] == ([] if is_over or is_cut else [whole])
