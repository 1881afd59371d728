"""All of shared state on one Redis: the parts share a client and its circuit."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from portside.secret import Secret
from portside.state.base import Leases
from portside.state.bounds import Bounds
from portside.state.parts import State
from portside.state.redis.address import Address, parse
from portside.state.redis.client import Client
from portside.state.redis.counters import RedisCounters
from portside.state.redis.leases import RedisLeases
from portside.state.redis.ledger import RedisLedger
from portside.state.redis.mailbox import RedisMailbox
from portside.state.redis.news import RedisNews
from portside.state.redis.sessions import RedisSessions
from portside.state.redis.streams import RedisStreams


@asynccontextmanager
async def opened(
    url: str, password: Secret | None, secrets: Sequence[bytes], bounds: Bounds, *, prefix: str, deadline_ms: int
) -> AsyncGenerator[State]:
    """Share state on Redis for the block; see `connect.redis_state`."""
    address = parse(url, password.reveal().decode() if password is not None else None)
    client = Client(address, prefix=prefix, deadline_ms=deadline_ms)
    state = State(
        sessions=RedisSessions(client, secrets, idle_ms=bounds.idle_ms),
        streams=RedisStreams(
            client,
            secrets,
            idle_ms=bounds.idle_ms,
            max_events=bounds.max_events,
            max_bytes=bounds.max_event_bytes,
        ),
        counters=RedisCounters(client),
        leases=RedisLeases(client),
        mailbox=RedisMailbox(client, max_letters=bounds.max_letters, max_bytes=bounds.max_letter_bytes),
        news=RedisNews(client, max_kept=bounds.max_news),
        ledger=RedisLedger(client, secrets),
        is_shared=True,
        ping=client.ping,
        apart=lambda: _apart(address, prefix=prefix, deadline_ms=deadline_ms),
    )
    try:
        yield state
    finally:
        await client.close()


@asynccontextmanager
async def _apart(address: Address, *, prefix: str, deadline_ms: int) -> AsyncGenerator[Leases]:
    client = Client(address, prefix=prefix, deadline_ms=deadline_ms)
    try:
        yield RedisLeases(client)
    finally:
        await client.close()
