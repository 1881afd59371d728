"""What every `Streams` promises (MCP 2025-11-25, Resumability and Redelivery)."""

import asyncio

import pytest

from portside.errors import Fenced
from portside.state.bounds import Bounds
from portside.wire.session import SessionRecord
from tests.contracts.worlds import Open, World

pytestmark = pytest.mark.anyio


def sequence(id: str) -> int:
    return int(id.rpartition(".")[2])


async def begun(world: World, *ids: str) -> int:
    """Create sessions and return the epoch they are in."""
    epochs = [
        await world.here.sessions.create(SessionRecord(id, "2025-11-25", {}, None, 1.0), "r1") for id in ids or ("s",)
    ]
    assert set(epochs) == {epochs[0]}
    return epochs[0]


async def test_resuming_yields_what_followed_on_the_same_stream_in_order(opened: Open) -> None:
    async with opened() as world:
        epoch, kept = await begun(world), world.here.streams
        first = await kept.append("s", "1", b"a", epoch=epoch)
        await kept.append("s", "2", b"other", epoch=epoch)
        await kept.append("s", "1", b"b", epoch=epoch)
        await kept.append("s", "1", b"c", epoch=epoch)
        tail = await world.there.streams.after("s", first)
        assert tail is not None
        assert (tail.stream, [event.data for event in tail.events]) == ("1", [b"b", b"c"])


async def test_a_priming_event_can_be_resumed_from_and_is_never_replayed(opened: Open) -> None:
    async with opened() as world:
        epoch, kept = await begun(world), world.here.streams
        first = await kept.append("s", "1", b"", epoch=epoch)
        await kept.append("s", "1", b"", epoch=epoch)
        await kept.append("s", "1", b"a", epoch=epoch)
        tail = await kept.after("s", first)
        assert tail is not None
        assert [event.data for event in tail.events] == [b"a"]


async def test_another_sessions_event_id_is_unknown(opened: Open) -> None:
    async with opened() as world:
        epoch, kept = await begun(world, "theirs", "mine"), world.here.streams
        theirs = await kept.append("theirs", "1", b"secret", epoch=epoch)
        await kept.append("theirs", "1", b"more", epoch=epoch)
        await kept.append("mine", "7", b"x", epoch=epoch)
        assert await kept.after("mine", theirs) is None


@pytest.mark.parametrize(
    "id", ["", "x", "1", "1.", ".1", "1.99", "2.1", "1.-1", "1.1e1", "1.²", "1.01", "1.0", "1." + "9" * 50]
)
async def test_an_id_that_was_never_given_is_unknown(opened: Open, id: str) -> None:
    async with opened() as world:
        epoch, kept = await begun(world), world.here.streams
        assert await kept.append("s", "1", b"a", epoch=epoch) == "1.1"
        assert await kept.after("s", id) is None


async def test_the_oldest_events_go_first_when_a_session_keeps_too_many(opened: Open) -> None:
    async with opened(Bounds(max_events=3)) as world:
        epoch, kept = await begun(world), world.here.streams
        ids = [await kept.append("s", "1", b"%d" % n, epoch=epoch) for n in range(5)]
        assert await kept.after("s", ids[1]) is None
        tail = await kept.after("s", ids[2])
        assert tail is not None
        assert [event.data for event in tail.events] == [b"3", b"4"]


async def test_bytes_are_bounded_too(opened: Open) -> None:
    async with opened(Bounds(max_event_bytes=10)) as world:
        epoch, kept = await begun(world), world.here.streams
        first = await kept.append("s", "1", b"x" * 8, epoch=epoch)
        second = await kept.append("s", "1", b"y" * 8, epoch=epoch)
        assert await kept.after("s", first) is None
        assert await kept.after("s", second) is not None


async def test_the_newest_event_is_kept_however_large(opened: Open) -> None:
    async with opened(Bounds(max_event_bytes=10)) as world:
        epoch, kept = await begun(world), world.here.streams
        large = await kept.append("s", "1", b"x" * 80, epoch=epoch)
        assert await kept.after("s", large) is not None


async def test_dropped_streams_are_forgotten_and_their_ids_never_given_again(opened: Open) -> None:
    async with opened() as world:
        epoch, kept = await begun(world), world.here.streams
        first = await kept.append("s", "1", b"a", epoch=epoch, call=b"note")
        await world.there.streams.drop("s")
        await kept.drop("s")
        assert await kept.after("s", first) is None
        assert await kept.unanswered("s") == {}
        assert await world.there.streams.append("s", "1", b"b", epoch=epoch) != first


async def test_the_streams_of_a_removed_session_are_unknown(opened: Open) -> None:
    async with opened() as world:
        epoch, kept = await begun(world), world.here.streams
        first = await kept.append("s", "1", b"a", epoch=epoch, call=b"note")
        await world.there.sessions.remove("s")
        assert await kept.after("s", first) is None
        assert await kept.unanswered("s") == {}
        with pytest.raises(Fenced):
            await kept.append("s", "1", b"b", epoch=epoch)


async def test_the_streams_of_an_expired_session_are_unknown(opened: Open) -> None:
    async with opened(Bounds(idle_ms=30)) as world:
        epoch, kept = await begun(world), world.here.streams
        first = await kept.append("s", "1", b"a", epoch=epoch)
        await world.elapse(31)
        assert await kept.after("s", first) is None


async def test_a_former_owner_is_fenced_and_leaves_nothing(opened: Open) -> None:
    async with opened() as world:
        epoch = await begun(world)
        first = await world.here.streams.append("s", "1", b"a", epoch=epoch)
        later = await world.there.sessions.claim("s", "r2", epoch=epoch)
        assert later is not None
        with pytest.raises(Fenced):
            await world.here.streams.append("s", "1", b"late", epoch=epoch, call=b"late")
        await world.there.streams.append("s", "1", b"b", epoch=later)
        tail = await world.here.streams.after("s", first)
        assert tail is not None
        assert [event.data for event in tail.events] == [b"b"]
        assert await world.here.streams.unanswered("s") == {}


async def test_a_call_is_unanswered_until_its_streams_last_event(opened: Open) -> None:
    async with opened() as world:
        epoch, kept = await begun(world), world.here.streams
        await kept.append("s", "1", b"", epoch=epoch, call=b"one")
        await kept.append("s", "2", b"", epoch=epoch, call=b"two")
        await kept.append("s", "1", b"progress", epoch=epoch)
        assert await world.there.streams.unanswered("s") == {"1": b"one", "2": b"two"}
        await kept.append("s", "1", b"answer", epoch=epoch, is_last=True)
        assert await world.there.streams.unanswered("s") == {"2": b"two"}
        await kept.append("s", "3", b"answer", epoch=epoch, call=b"three", is_last=True)
        assert await world.there.streams.unanswered("s") == {"2": b"two"}


async def test_a_note_outlives_the_events_that_were_too_many(opened: Open) -> None:
    async with opened(Bounds(max_events=2)) as world:
        epoch, kept = await begun(world), world.here.streams
        await kept.append("s", "1", b"", epoch=epoch, call=b"one")
        for _ in range(5):
            await kept.append("s", "2", b"x", epoch=epoch)
        assert await kept.unanswered("s") == {"1": b"one"}


async def test_appending_at_once_gives_every_event_an_id_of_its_own(opened: Open) -> None:
    async with opened() as world:
        epoch = await begun(world)
        ids = await asyncio.gather(
            *(world.here.streams.append("s", str(n % 5), b"%d" % n, epoch=epoch) for n in range(40)),
            *(world.there.streams.append("s", str(n % 5), b"%d" % n, epoch=epoch) for n in range(40)),
        )
        assert len({sequence(id) for id in ids}) == 80
        first = min((id for id in ids if id.startswith("3.")), key=sequence)
        tail = await world.there.streams.after("s", first)
        assert tail is not None
        assert {event.id for event in tail.events} == {id for id in ids if id.startswith("3.")} - {first}
