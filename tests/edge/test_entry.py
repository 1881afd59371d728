"""The outermost layer: one record per request whatever happens, an id, and JSON for every failure."""

import asyncio
import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.edge.asgi import ASGIApp, Message, Receive, Scope, Send
from portside.edge.entry import Entry, accepted_id
from portside.edge.stack import EdgeOptions, build
from portside.errors import HostGone, PortsideError, StateUnavailable
from portside.observe.record import Record
from tests.edge.asked import GONE, HOST, Inner, answer, ask, part, request

pytestmark = pytest.mark.anyio

SECRET = "hunter2 in a message of an exception"


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    raise LookupError(SECRET)


async def failing_midway(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise LookupError(SECRET)


async def failing_afterwards(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send)
    raise LookupError(SECRET)


async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for piece in (b"a", b"bc", b""):
        await send({"type": "http.response.body", "body": piece, "more_body": piece != b""})


async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    """Leave without an answer, as after a client that went away."""


@pytest.fixture
def records() -> list[Record]:
    return []


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        (Inner(), (200, 3, "ok", None)),
        (streaming, (200, 3, "ok", None)),
        (failing, (500, None, "error", "LookupError")),
        (failing_midway, (200, 4, "error", "LookupError")),
        (silent, (0, 0, "ok", None)),
    ],
)
async def test_one_record_is_handed_over_whatever_happens(
    records: list[Record], app: ASGIApp, expected: tuple[int, int | None, str, str | None]
) -> None:
    answer = await ask(Entry(app, emit=records.append), request(path="/mcp", method="PATCH"))
    [record] = records
    size = expected[1] if expected[1] is not None else len(answer.body)
    assert (record.status, record.bytes_out, record.outcome, record.error) == (expected[0], size, *expected[2:])
    assert (record.method, record.client) == ("PATCH", "192.0.2.10")
    assert record.duration_s > 0


async def test_the_record_of_a_complete_answer_is_handed_over_with_its_last_byte_and_never_again(
    records: list[Record],
) -> None:
    counts: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send)
        counts.append(len(records))
        raise LookupError(SECRET)

    await ask(Entry(app, emit=records.append), request())
    assert counts == [1]
    assert len(records) == 1


@pytest.mark.parametrize("is_started", [True, False])
async def test_a_cancelled_request_is_recorded_once_and_stays_cancelled(
    records: list[Record], is_started: bool
) -> None:
    inside = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if is_started:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
        inside.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(ask(Entry(app, emit=records.append), request()))
    await inside.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    [record] = records
    assert (record.status, record.outcome) == (200 if is_started else 0, "cancelled")


async def test_cancellation_does_not_hide_what_the_inside_already_said(records: list[Record]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["portside.record"].outcome = "timeout"
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await ask(Entry(app, emit=records.append), request())
    assert [record.outcome for record in records] == ["timeout"]


@pytest.mark.parametrize("script", [[GONE], [part(b"{", more=True), GONE]])
async def test_a_client_that_leaves_while_it_sends_is_recorded_as_that(
    records: list[Record], script: list[Message]
) -> None:
    inner = Inner()
    answer = await ask(build(inner, EdgeOptions(), records.append), request(), *script)
    assert (answer.sent, inner.seen) == ([], [])
    assert [(record.status, record.outcome) for record in records] == [(0, "cancelled")]


async def test_a_client_that_leaves_while_it_is_answered_is_recorded_once(records: list[Record]) -> None:
    async def broken(message: Message) -> None:
        raise ConnectionResetError(SECRET)

    await Entry(streaming, emit=records.append)(request(), _never, broken)
    assert [record.outcome for record in records] == ["error"]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [([(b"host", b"evil.example")], 421), ([], 400), ([HOST, (b"content-encoding", b"gzip")], 415)],
)
async def test_what_another_layer_refuses_is_recorded_too(
    records: list[Record], headers: list[tuple[bytes, bytes]], expected: int
) -> None:
    answer = await ask(build(Inner(), EdgeOptions(), records.append), request(headers))
    [record] = records
    assert (record.status, record.outcome) == (expected, "refused")
    assert record.error == answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("error", "status", "message", "retry"),
    [
        (LookupError(SECRET), 500, "internal error", []),
        (PortsideError(SECRET, hint=SECRET), 500, "internal error", []),
        (HostGone(SECRET), 503, "the hosted server is not available", [b"1"]),
        (StateUnavailable(SECRET), 503, "shared state is not available", [b"1"]),
        (ExceptionGroup(SECRET, [ValueError(SECRET)]), 500, "internal error", []),
        (TimeoutError(SECRET), 500, "internal error", []),
    ],
)
async def test_a_failure_becomes_json_and_what_it_says_stays_in_the_log(
    records: list[Record],
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    status: int,
    message: str,
    retry: list[bytes],
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    with caplog.at_level(logging.ERROR, "portside.edge"):
        answer = await ask(Entry(app, emit=records.append), request())
    given = answer.all(b"x-request-id")[0].decode()
    assert answer.json == {"error": {"status": status, "message": message, "request_id": given}}
    assert (answer.status, answer.all(b"retry-after")) == (status, retry)
    assert answer.all(b"content-type") == [b"application/json"]
    assert answer.all(b"content-length") == [str(len(answer.body)).encode()]
    assert SECRET.encode() not in answer.body
    assert SECRET not in str(records[0].error)
    [logged] = caplog.records
    assert logged.exc_info is not None
    assert logged.exc_info[1] is error


@pytest.mark.parametrize(("app", "expected"), [(failing_midway, b"half"), (failing_afterwards, b"app")])
async def test_a_failure_after_the_start_adds_nothing_to_the_response(
    records: list[Record], app: ASGIApp, expected: bytes
) -> None:
    answer = await ask(Entry(app, emit=records.append), request())
    assert answer.body == expected
    assert [message["type"] for message in answer.sent].count("http.response.start") == 1


async def test_a_failure_midway_leaves_the_response_visibly_unfinished(records: list[Record]) -> None:
    answer = await ask(Entry(failing_midway, emit=records.append), request())
    assert answer.sent[-1]["more_body"]


async def test_a_failure_answers_head_without_a_body(records: list[Record]) -> None:
    answer = await ask(Entry(failing, emit=records.append), request(method="HEAD"))
    assert (answer.status, answer.body) == (500, b"")
    assert records[0].bytes_out == 0


@pytest.mark.parametrize(
    "pair",
    [(b"x-said", b"a\r\nx-injected: 1"), (b"x-said", b"a\nb"), (b"x-said", b"a\x00"), (b"x-said\r\nx", b"1")],
)
async def test_a_header_that_would_end_its_line_is_answered_500_and_logged(
    records: list[Record], caplog: pytest.LogCaptureFixture, pair: tuple[bytes, bytes]
) -> None:
    with caplog.at_level(logging.ERROR, "portside.edge"):
        answer = await ask(Entry(Inner(headers=[HOST, pair]), emit=records.append), request(path="/own"))
    assert (answer.status, answer.all(b"x-said")) == (500, [])
    assert [(record.status, record.error) for record in records] == [(500, "HeaderInvalid")]
    [logged] = caplog.records
    assert logged.exc_info is not None
    assert f"response header {pair[0]!r}" in str(logged.exc_info[1])


async def test_a_header_may_hold_a_tab_and_what_is_not_ascii(records: list[Record]) -> None:
    answer = await ask(Entry(Inner(headers=[(b"x-said", b"a\t\xe4")]), emit=records.append), request(path="/own"))
    assert (answer.status, answer.all(b"x-said")) == (200, [b"a\t\xe4"])


async def test_every_request_gets_an_id_of_its_own(records: list[Record]) -> None:
    entry = Entry(Inner(), emit=records.append)
    answers = [await ask(entry, request()) for _ in range(100)]
    ids = [answer.all(b"x-request-id")[0].decode() for answer in answers]
    assert ids == [record.request_id for record in records]
    assert len(set(ids)) == 100
    assert all(re.fullmatch(r"[0-9a-f]{20}", one) for one in ids)
    other = await ask(Entry(Inner(), emit=records.append), request())
    assert other.all(b"x-request-id")[0][:12] != ids[0][:12].encode()


@pytest.mark.parametrize(("peer", "is_taken"), [("192.0.2.10", True), ("198.51.100.1", False)])
async def test_an_id_from_a_trusted_proxy_goes_through_to_the_answer_and_the_record(
    records: list[Record], peer: str, is_taken: bool
) -> None:
    edge = build(Inner(), EdgeOptions(trusted_proxies=["192.0.2.10"]), records.append)
    answer = await ask(edge, request([HOST, (b"x-request-id", b"trace-1")], client=peer))
    assert (answer.all(b"x-request-id") == [b"trace-1"]) is is_taken
    assert (records[0].request_id == "trace-1") is is_taken


@given(value=st.binary(max_size=80))
def test_an_id_taken_over_is_short_and_harmless_in_a_header_and_a_log(value: bytes) -> None:
    taken = accepted_id(value)
    assert taken is None or (taken.encode() == value and re.fullmatch(r"[A-Za-z0-9._-]{1,64}", taken))


async def test_a_client_without_an_address_is_recorded_without_one(records: list[Record]) -> None:
    await ask(Entry(Inner(), emit=records.append), request(client=None))
    assert records[0].client == ""


async def test_what_a_server_adds_to_the_headers_later_is_not_seen(records: list[Record]) -> None:
    """Trailers of a chunked body come in after the head was judged; uvicorn adds them to the same list."""
    scope = request()
    late: list[tuple[bytes, bytes]] = scope["headers"]
    seen: list[list[tuple[bytes, bytes]]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        late.append((b"x-forwarded-for", b"1.1.1.1"))
        seen.append(list(scope["headers"]))
        await answer(send)

    await ask(build(app, EdgeOptions(), records.append), scope)
    assert seen == [[HOST]]


async def _never() -> Message:
    raise AssertionError
