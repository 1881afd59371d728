"""What waits for a slow reader of a stream is bounded, and what is cut off can be asked for again."""

import asyncio

import pytest

from portside.gateway.http import Headers, Incoming
from portside.gateway.stream import MAX_BACKLOG_BYTES, EventStream
from portside.observe.record import Record

pytestmark = pytest.mark.anyio


class Stalled:
    """A client that reads the head, and nothing after it until it is let go on."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.read: list[bytes] = []

    async def start(self, status: int, headers: Headers) -> None:
        return

    async def write(self, body: bytes, *, more: bool) -> None:
        if body:
            await self.go_on.wait()
        self.read.append(body)

    async def gone(self) -> None:
        await asyncio.Event().wait()


async def opened(client: Stalled) -> EventStream:
    stream = EventStream(client, keepalive_s=60)
    await stream.open(Incoming("GET", {}, [], b"", Record()))
    return stream


async def test_a_stream_nobody_reads_is_ended_past_its_bytes() -> None:
    client = Stalled()
    stream = await opened(client)
    block = b"x" * 4096
    for _ in range(2 * MAX_BACKLOG_BYTES // len(block)):
        stream.post(block)
    client.go_on.set()
    await stream.finished()
    assert stream.is_closed
    assert sum(map(len, client.read)) <= MAX_BACKLOG_BYTES


async def test_one_large_block_is_delivered_whole() -> None:
    client = Stalled()
    stream = await opened(client)
    stream.post(b"y" * (4 * MAX_BACKLOG_BYTES))
    client.go_on.set()
    await stream.finished()
    assert not stream.is_closed
    assert sum(map(len, client.read)) == 4 * MAX_BACKLOG_BYTES
    await stream.close()
