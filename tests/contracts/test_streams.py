"""What every `Streams` promises (MCP 2025-11-25, Resumability and Redelivery)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.state.base import Streams
from portside.state.memory import MemoryStreams

pytestmark = pytest.mark.anyio


def streams(max_events: int = 100, max_bytes: int = 10_000) -> Streams:
    return MemoryStreams(max_events=max_events, max_bytes=max_bytes)


async def test_resuming_yields_what_followed_on_the_same_stream_in_order() -> None:
    kept = streams()
    first = await kept.append("s", "1", b"a")
    await kept.append("s", "2", b"other")
    await kept.append("s", "1", b"b")
    await kept.append("s", "1", b"c")
    tail = await kept.after("s", first)
    assert tail is not None
    assert (tail.stream, [event.data for event in tail.events]) == ("1", [b"b", b"c"])


async def test_a_priming_event_can_be_resumed_from_and_is_never_replayed() -> None:
    kept = streams()
    first = await kept.append("s", "1", b"")
    await kept.append("s", "1", b"")
    await kept.append("s", "1", b"a")
    tail = await kept.after("s", first)
    assert tail is not None
    assert [event.data for event in tail.events] == [b"a"]


async def test_another_sessions_event_id_is_unknown() -> None:
    kept = streams()
    theirs = await kept.append("theirs", "1", b"secret")
    await kept.append("theirs", "1", b"more")
    await kept.append("mine", "7", b"x")
    assert await kept.after("mine", theirs) is None


@pytest.mark.parametrize("id", ["", "x", "1", "1.", ".1", "1.99", "2.1", "1.-1", "1.1e1", "1.²", "1." + "9" * 50])
async def test_an_id_that_was_never_given_is_unknown(id: str) -> None:
    kept = streams()
    assert await kept.append("s", "1", b"a") == "1.1"
    assert await kept.after("s", id) is None


async def test_the_oldest_events_go_first_when_a_session_keeps_too_many() -> None:
    kept = streams(max_events=3)
    ids = [await kept.append("s", "1", b"%d" % n) for n in range(5)]
    assert await kept.after("s", ids[1]) is None
    tail = await kept.after("s", ids[2])
    assert tail is not None
    assert [event.data for event in tail.events] == [b"3", b"4"]


async def test_bytes_are_bounded_too() -> None:
    kept = streams(max_bytes=10)
    first = await kept.append("s", "1", b"x" * 8)
    second = await kept.append("s", "1", b"y" * 8)
    assert await kept.after("s", first) is None
    assert await kept.after("s", second) is not None


async def test_dropped_sessions_are_forgotten() -> None:
    kept = streams()
    first = await kept.append("s", "1", b"a")
    await kept.drop("s")
    await kept.drop("s")
    assert await kept.after("s", first) is None


@given(plan=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("123"), st.binary(min_size=1, max_size=4))))
async def test_every_tail_is_exactly_the_rest_of_its_stream(plan: list[tuple[str, str, bytes]]) -> None:
    kept = streams()
    told = [(session, stream, data, await kept.append(session, stream, data)) for session, stream, data in plan]
    for place, (session, stream, _, id) in enumerate(told):
        tail = await kept.after(session, id)
        rest = [data for other, on, data, _ in told[place + 1 :] if (other, on) == (session, stream)]
        assert tail is not None
        assert [event.data for event in tail.events] == rest
