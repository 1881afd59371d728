"""Writing server-sent events and reading them back, wherever the network cut them (WHATWG HTML §9.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.wire import sse
from portside.wire.sse import Decoder, Event

LINE = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\n"))
ID = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\n\0"), min_size=1)


def read(stream: bytes, cuts: list[int] | None = None) -> list[Event]:
    decoder = Decoder()
    events: list[Event] = []
    last = 0
    for cut in [*sorted(min(cut, len(stream)) for cut in cuts or []), len(stream)]:
        events.extend(decoder.feed(stream[last:cut]))
        last = cut
    return events


@given(data=LINE, id=ID, cuts=st.lists(st.integers(0, 400), max_size=8))
def test_an_event_is_read_back_however_it_was_cut(data: str, id: str, cuts: list[int]) -> None:
    events = read(sse.message(data.encode(), id=id), cuts)
    assert events == [Event(data=data, id=id)]


@given(lines=st.lists(LINE, min_size=1, max_size=10), cuts=st.lists(st.integers(0, 2000), max_size=8))
def test_events_and_comments_come_out_in_order_and_none_is_invented(lines: list[str], cuts: list[int]) -> None:
    stream = b"".join(sse.message(line.encode()) + sse.KEEP_ALIVE for line in lines)
    assert [event.data for event in read(stream, cuts)] == lines


@given(chunks=st.lists(st.binary(max_size=40), max_size=10))
def test_arbitrary_bytes_never_raise(chunks: list[bytes]) -> None:
    decoder = Decoder()
    for chunk in chunks:
        list(decoder.feed(chunk))


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_all_three_line_ends_are_understood_even_cut_in_two(newline: bytes) -> None:
    stream = newline.join([b"id: 1", b"data: a", b"data: b", b"", b"data: c", b"", b""])
    assert read(stream, list(range(len(stream)))) == [Event("a\nb", id="1"), Event("c", id="1")]


def test_priming_event_carries_id_retry_and_no_message() -> None:
    assert read(sse.priming("3.1", 500)) == [Event("", id="3.1", retry_ms=500)]


def test_retry_alone_is_told() -> None:
    assert read(sse.retry(250)) == [Event("", retry_ms=250)]


@pytest.mark.parametrize("data", [b"a\nb", b"a\rb"])
def test_data_that_would_break_out_of_its_field_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="one line"):
        sse.message(data)


@pytest.mark.parametrize("id", ["a\nb", "a\rb", "a\0b"])
def test_id_that_would_break_out_of_its_field_is_refused(id: str) -> None:
    with pytest.raises(ValueError, match="id"):
        sse.message(b"{}", id=id)


def test_a_line_that_never_ends_does_not_fill_memory() -> None:
    decoder = Decoder(limit_bytes=100)
    with pytest.raises(ValueError, match="longer"):
        [event for _ in range(20) for event in decoder.feed(b"data: aaaaaaaaaa")]
