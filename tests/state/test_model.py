"""Streams and the ledger on Redis, step by step against those in memory."""

from typing import Final

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from portside.clock import ManualClock
from portside.errors import Fenced
from portside.state.base import Entry
from portside.state.bounds import Bounds
from portside.state.connect import State, memory_state, redis_state
from portside.wire.session import SessionRecord
from tests.redis_servers import RedisServer

pytestmark = pytest.mark.anyio

SECRETS: Final = (b"k" * 32,)
BOUNDS: Final = Bounds(max_events=6, max_event_bytes=40)
LONG: Final = 60_000

APPENDING: Final = ["append", "append", "append", "note", "last", "former", "former"]
ACTIONS: Final = [*APPENDING, "after", "unanswered", "drop", "claim", "claim", "remove"]

StreamStep = tuple[str, str, str, bytes, int]
stream_steps = st.lists(
    st.tuples(
        st.sampled_from(ACTIONS),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["0", "1", "2"]),
        st.binary(max_size=12),
        st.integers(0, 12),
    ),
    max_size=40,
)
LedgerStep = tuple[str, str, str, int]
ledger_steps = st.lists(
    st.tuples(
        st.sampled_from(["begin", "begin", "retake", "finish", "forget"]),
        st.sampled_from(["k", "l"]),
        st.sampled_from(["d", "d", "e"]),
        st.integers(0, 5),
    ),
    max_size=30,
)
relaxed = hypothesis_settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Epochs:
    """The epochs that one implementation has given out for each session: they differ, each is known by its place."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._given: dict[str, list[int]] = {}

    def last(self, session: str) -> int:
        return self._given[session][-1]

    def any(self, session: str, number: int) -> int:
        """Return a former epoch of the session, its last one, or one that was never given out."""
        given = self._given[session]
        return [*given, given[-1] + 1][number % (len(given) + 1)]

    async def create(self, session: str) -> None:
        record = SessionRecord(session, "2025-11-25", {}, None, 1.0)
        self._given[session] = [await self.state.sessions.create(record, "r0")]

    async def claim(self, session: str, number: int) -> bool:
        known = self.any(session, number) if number % 3 == 0 else self.last(session)
        epoch = await self.state.sessions.claim(session, f"r{number}", epoch=known)
        if epoch is not None:
            assert epoch > max(self._given[session])
            self._given[session].append(epoch)
        return epoch is not None


@relaxed
@given(steps=stream_steps)
async def test_streams_on_redis_do_what_those_in_memory_do(redis: RedisServer, steps: list[StreamStep]) -> None:
    await redis.command("FLUSHALL")
    async with (
        memory_state(ManualClock(), BOUNDS) as model,
        redis_state(redis.url, redis.password, SECRETS, bounds=BOUNDS) as state,
    ):
        real, modelled = Epochs(state), Epochs(model)
        for session in ("a", "b"):
            await real.create(session)
            await modelled.create(session)
        for step in steps:
            assert await stream_step(real, step) == await stream_step(modelled, step), step


async def stream_step(epochs: Epochs, step: StreamStep) -> object:
    action, session, stream, data, number = step
    streams = epochs.state.streams
    if action in APPENDING:
        epoch = epochs.any(session, number) if action == "former" else epochs.last(session)
        call = data if action == "note" else None
        try:
            return await streams.append(session, stream, data, epoch=epoch, call=call, is_last=action == "last")
        except Fenced:
            return "fenced"
    if action == "after":
        return await streams.after(session, f"{stream}.{number}")
    if action == "unanswered":
        return await streams.unanswered(session)
    if action == "drop":
        return await streams.drop(session)
    if action == "claim":
        return await epochs.claim(session, number)
    return await epochs.state.sessions.remove(session) if number == 0 else None


@relaxed
@given(steps=ledger_steps)
async def test_the_ledger_on_redis_does_what_that_in_memory_does(redis: RedisServer, steps: list[LedgerStep]) -> None:
    await redis.command("FLUSHALL")
    async with (
        memory_state(ManualClock()) as model,
        redis_state(redis.url, redis.password, SECRETS) as state,
    ):
        # Tokens differ between the two: each is known by the order in which it was given.
        real: list[int] = []
        modelled: list[int] = []
        for turn, step in enumerate(steps):
            assert await ledger_step(state, step, turn, real) == await ledger_step(model, step, turn, modelled), step


async def ledger_step(state: State, step: LedgerStep, turn: int, tokens: list[int]) -> object:
    action, key, digest, number = step
    ledger, token = state.ledger, tokens[number % len(tokens)] if tokens else 7
    if action == "finish":
        return await ledger.finish(key, b"outcome %d" % turn, token=token, ttl_ms=LONG)
    if action == "forget":
        return await ledger.forget(key, token=token)
    if action == "begin":
        return named(await ledger.begin(key, digest, f"r{turn}", ttl_ms=LONG), tokens)
    return named(await ledger.retake(key, digest, f"r{turn}", token=token, ttl_ms=LONG), tokens)


def named(entry: Entry, tokens: list[int]) -> tuple[str, int, str, bytes | None]:
    """Return an entry with its token's number instead of the token."""
    if entry.status == "new":
        assert tokens == [] or entry.token > max(tokens)
        tokens.append(entry.token)
    place = tokens.index(entry.token) if entry.token in tokens else -1
    return entry.status, place, entry.owner, entry.outcome
