"""The thread that keeps a replica's life leased."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from portside.clock import SystemClock
from portside.gateway.heart import Heart
from portside.state.base import Leases
from portside.state.memory.leases import MemoryLeases

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def apart() -> AsyncGenerator[Leases]:
    yield MemoryLeases(SystemClock())


async def test_it_beats_while_the_loop_is_blocked() -> None:
    beaten = threading.Semaphore(0)

    async def beat(_: Leases) -> None:
        beaten.release()

    heart = Heart(apart, beat, SystemClock(), every_s=0.01)
    heart.open()
    try:
        # The loop stands still here, as it does in a tool that blocks it.
        assert all(beaten.acquire(timeout=5) for _ in range(5))
    finally:
        await heart.close()


async def test_a_beat_that_fails_unforeseen_is_logged_and_the_next_one_is_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    beaten = threading.Semaphore(0)

    async def beat(_: Leases) -> None:
        beaten.release()
        raise RuntimeError("unforeseen")

    heart = Heart(apart, beat, SystemClock(), every_s=0.01)
    heart.open()
    try:
        assert all([await asyncio.to_thread(beaten.acquire, timeout=5) for _ in range(3)])
    finally:
        await heart.close()
    assert "unforeseen" in caplog.text


async def test_its_thread_has_ended_once_it_is_closed() -> None:
    async def beat(_: Leases) -> None:
        return

    heart = Heart(apart, beat, SystemClock(), every_s=30)
    heart.open()
    assert "heart" in [thread.name for thread in threading.enumerate()]
    async with asyncio.timeout(10):
        await heart.close()
    assert "heart" not in [thread.name for thread in threading.enumerate()]
