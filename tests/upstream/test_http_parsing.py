"""However an answer is cut into pieces on its way, it is the same answer."""

import asyncio
import itertools
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portside.errors import HostGone
from portside.hosting.http.connection import Connection

TOKEN = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12).map(str.encode)
VALUE = st.text("abc xyz,;=/0123", min_size=1, max_size=30).map(lambda text: text.strip().encode() or b"v")
RESERVED = {b"transfer-encoding", b"content-length", b"connection", b"upgrade", b"keep-alive", b"trailer"}


class Owner:
    """Takes what a connection tells its pool."""

    name = "http://tested"
    max_head_bytes = 64 * 1024
    head_s = 10.0
    read_s = 10.0

    def __init__(self) -> None:
        self.reusable: list[bool] = []

    def finished(self, connection: Connection, *, is_reusable: bool) -> None:
        self.reusable.append(is_reusable)

    def lost(self, connection: Connection) -> None:
        """Nothing to forget."""


class Wire(asyncio.Transport):
    """Where bytes go that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.is_aborted = False

    def write(self, data: Any) -> None:
        """Drop it."""

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True

    def pause_reading(self) -> None:
        """Go on all the same: the pieces are fed by hand."""

    def resume_reading(self) -> None:
        """Nothing was paused."""


Outcome = tuple[int, dict[bytes, bytes], bytes, list[bool]] | str


async def parsed(pieces: list[bytes]) -> Outcome:
    """Return what is made of an answer that comes in these pieces and after which the connection ends."""
    owner = Owner()
    connection = Connection(owner, asyncio.get_running_loop())
    connection.connection_made(Wire())
    response = connection.ask(b"GET / HTTP/1.1\r\n\r\n", is_lasting=False)
    for piece in pieces:
        if connection.response is response:
            connection.data_received(piece)
    connection.connection_lost(None)
    try:
        await response.head()
        return response.status, response.headers, await response.read(1 << 20), owner.reusable
    except HostGone:
        return "gone"


def cut(data: bytes, places: list[int]) -> list[bytes]:
    at = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(at) if start < end]


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, int, bytes]:
    """An answer on the wire, its status and its body."""
    status = draw(st.sampled_from([200, 202, 400, 404, 503]))
    interim = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * draw(st.integers(0, 2))
    names = [name for name in draw(st.lists(TOKEN, max_size=6)) if name not in RESERVED]
    lines = b"".join(name + b": " + draw(VALUE) + b"\r\n" for name in names)
    chunks = draw(st.lists(st.binary(min_size=1, max_size=50), max_size=6))
    if draw(st.booleans()):
        body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
        framing = b"transfer-encoding: chunked\r\n\r\n" + body
    else:
        whole = b"".join(chunks)
        framing = b"content-length: %d\r\n\r\n%b" % (len(whole), whole)
    return interim + b"HTTP/1.1 %d Reason\r\n" % status + lines + framing, status, b"".join(chunks)


@settings(max_examples=300, deadline=None)
@given(answers(), st.lists(st.integers(0, 10_000), max_size=12))
def test_the_pieces_do_not_matter(answer: tuple[bytes, int, bytes], places: list[int]) -> None:
    data, status, body = answer
    outcome = asyncio.run(parsed(cut(data, places)))
    assert outcome == asyncio.run(parsed([data]))
    assert outcome != "gone"
    got = cast("tuple[int, dict[bytes, bytes], bytes, list[bool]]", outcome)
    assert (status, body, [True]) == (got[0], got[2], got[3])


@settings(max_examples=300, deadline=None)
@given(answers(), st.integers(0, 10_000))
def test_an_answer_cut_short_is_never_taken_for_whole(answer: tuple[bytes, int, bytes], place: int) -> None:
    data, _, _ = answer
    assert asyncio.run(parsed([data[: place % len(data)]] if place % len(data) else [])) == "gone"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_an_answer_or_an_error(data: bytes) -> None:
    asyncio.run(parsed([data] if data else []))
    asyncio.run(parsed([b"HTTP/1.1 200 OK\r\n" + data]))


@pytest.mark.anyio
async def test_bytes_before_any_request_end_the_connection() -> None:
    connection, wire = Connection(Owner(), asyncio.get_running_loop()), Wire()
    connection.connection_made(wire)
    connection.data_received(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert wire.is_aborted
    assert not connection.is_usable
