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

StreamStep = tuple[str, str, str, bytes, int]
stream_steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["append", "append", "append", "note", "last", "after", "unanswered", "drop", "claim", "remove"]
        ),
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


@relaxed
@given(steps=stream_steps)
async def test_streams_on_redis_do_what_those_in_memory_do(redis: RedisServer, steps: list[StreamStep]) -> None:
    await redis.command("FLUSHALL")
    async with (
        memory_state(ManualClock(), BOUNDS) as model,
        redis_state(redis.url, redis.password, SECRETS, bounds=BOUNDS) as state,
    ):
        for id in ("a", "b"):
            record = SessionRecord(id, "2025-11-25", {}, None, 1.0)
            assert await state.sessions.create(record, "r0") == await model.sessions.create(record, "r0")
        for step in steps:
            assert await stream_step(state, step) == await stream_step(model, step), step


async def stream_step(state: State, step: StreamStep) -> object:
    action, session, stream, data, number = step
    streams = state.streams
    if action in ("append", "note", "last"):
        epoch = 1 + number % 3 * 10**15  # a later epoch is higher, and no more is said of it
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
        return await state.sessions.claim(session, f"r{number}", epoch=1 + number % 3 * 10**15) is not None
    return await state.sessions.remove(session) if number == 0 else None


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
