"""Children that flood, babble, or never read: survived, within bounds."""

import asyncio
import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest

from portside.hosting.stdio.pipes import MAX_WAITING_BYTES
from tests.stdio.driving import MODERN, Remembering, ask, hosting, said, spec, tool, until

pytestmark = pytest.mark.anyio
MIB = 1024 * 1024


def resident_bytes() -> int:
    """Return how much memory this process holds."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_garbage_between_messages_is_survived_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    lines = ["hello", "{", '{"jsonrpc":"2.0"}', "[]", "[1]", "null", "\xff\xfe", '{"jsonrpc":"2.0","id":99,"result":1}']
    async with hosting(spec("modern")) as host:
        link = await host.open(None, Remembering())
        with caplog.at_level(logging.WARNING, logger="portside.child"):
            assert await ask(link, "garbage", {"lines": lines}) == "done"
        assert await ask(link, "echo", {"still": "here"}) == {"still": "here"}
    told = [entry for entry in caplog.records if entry.message == "child.not_a_message"]
    assert len(told) == len(lines)


async def test_a_flood_of_garbage_neither_grows_memory_nor_the_log_nor_holds_up_the_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with hosting(spec("modern")) as host:
        link = await host.open(None, Remembering())
        before = resident_bytes()
        turns = 0
        call = asyncio.create_task(ask(link, "flood", {"seconds": 1.0}))
        while not call.done():
            await asyncio.sleep(0)
            turns += 1
        flooded = await call
        assert flooded > MIB
        # Everybody else had a turn after each few lines, however much came.
        assert turns > flooded / (MIB / 4)
        assert resident_bytes() - before < 32 * MIB
    assert len(caplog.records) < 50


async def test_one_endless_line_is_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    async with hosting(replace(spec("modern"), max_line_bytes=MIB)) as host:
        link = await host.open(None, Remembering())
        before = resident_bytes()
        assert await ask(link, "endless", {"mebibytes": 200}) == "done"
        assert resident_bytes() - before < 32 * MIB
    assert any("longer than the cap: 209715200 bytes" in str(vars(entry)) for entry in caplog.records)


async def test_a_call_whose_answer_is_too_long_is_told_so() -> None:
    async with hosting(replace(spec("modern"), max_line_bytes=MIB)) as host:
        link = await host.open(None, Remembering())
        reply = await link.request(tool("big", {"bytes": 2 * MIB}), Remembering(), MODERN)
        assert (reply.error or {})["code"] == -31002
        assert len(await ask(link, "big", {"bytes": MIB // 2})) == MIB // 2


async def test_a_flood_on_stderr_is_read_and_mostly_left_out_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with hosting(spec("modern")) as host:
        before = resident_bytes()
        with caplog.at_level(logging.INFO, logger="portside.child"):
            assert await ask(await host.open(None, Remembering()), "mumble", {"mebibytes": 5}) == "done"
        assert resident_bytes() - before < 32 * MIB
    lines = [entry for entry in caplog.records if entry.message == "child.stderr"]
    assert 0 < len(lines) < 200
    left_out = [entry for entry in caplog.records if entry.message == "child.stderr_left_out"]
    assert sum(vars(entry)["portside"]["lines"] for entry in left_out) > 300_000


async def test_a_child_that_does_not_read_makes_writers_wait_and_they_can_be_cancelled() -> None:
    async with hosting(spec("modern")) as host:
        link = await host.open(None, Remembering())
        assert await ask(link, "deaf") == "done"
        before = resident_bytes()
        large = "x" * MAX_WAITING_BYTES
        calls = [asyncio.create_task(ask(link, "echo", {"x": large})) for _ in range(200)]
        await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not any(call.done() for call in calls)
        assert resident_bytes() - before < 48 * MIB
        for call in calls:
            call.cancel()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}


async def test_large_requests_and_answers_pass_whole() -> None:
    async with hosting(spec("modern")) as host:
        link = await host.open(None, Remembering())
        values = [chr(97 + number) * (2 * MIB + number) for number in range(6)]
        calls = [link.request(tool("echo", {"value": value}), Remembering(), MODERN) for value in values]
        assert [said(reply)["value"] for reply in await asyncio.gather(*calls)] == values


async def test_requests_that_wait_are_sent_when_the_child_reads_again() -> None:
    async with hosting(spec("modern")) as host:
        link = await host.open(None, Remembering())
        large = "y" * MAX_WAITING_BYTES
        busy = asyncio.create_task(ask(link, "flood", {"seconds": 0.3}))
        calls = [asyncio.create_task(ask(link, "echo", {"x": large})) for _ in range(20)]
        cancelled = calls[5:15]
        await until(lambda: sum(not call.done() for call in calls) > 0, "nothing started", seconds=1)
        for call in cancelled:
            call.cancel()
        await asyncio.gather(*cancelled, return_exceptions=True)
        assert await busy > 0
        rest = await asyncio.gather(*(call for call in calls if call not in cancelled))
        assert {one["x"] for one in rest} == {large}
        assert await ask(link, "echo", {"whole": True}) == {"whole": True}
