"""The writer: groups, checkpoints, failures and going on after them, on a sink in memory and a turned clock."""

import asyncio
import itertools
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from portside.audit import chain
from portside.audit.base import AuditUnavailable, Stored
from portside.audit.tail import RETRY_S
from portside.audit.writer import LAZY_S, Writer
from portside.clock import ManualClock
from tests.audit.kept import SIGNER, MemorySink, by_writer, call, check_rows, writer

pytestmark = pytest.mark.anyio


def states(rows: list[Stored]) -> list[str]:
    return [seal.state for row in rows if (seal := chain.decode(row.entry).seal) is not None]


async def test_a_log_begins_with_a_signed_start_and_ends_with_a_signed_stop() -> None:
    sink = MemorySink()
    async with writer(sink, ManualClock()) as one:
        receipt = await one.append(call())
    assert (receipt.writer, receipt.sequence, receipt.hash) == (one.name, 2, sink.rows[1].hash)
    assert states(sink.rows) == ["start", "stop"]
    assert sink.closed == 1
    assert check_rows(sink.rows).is_sound


async def test_appends_at_once_share_a_write_and_keep_their_order() -> None:
    sink = MemorySink()
    async with writer(sink, ManualClock()) as one:
        receipts = await asyncio.gather(*(one.append(call(f"t{index}")) for index in range(400)))
    assert [receipt.sequence for receipt in receipts] == list(range(2, 402))
    assert sink.groups == [1, 400, 1]


class Gated(MemorySink):
    """Keeps what comes after the start entry once the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.is_asked = asyncio.Event()

    async def append(self, rows: Sequence[Stored]) -> None:
        if self.rows:
            self.is_asked.set()
            await self.gate.wait()
        await super().append(rows)


class Slow(MemorySink):
    """A disk that takes as long as the loop needs for a few turns."""

    async def append(self, rows: Sequence[Stored]) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        await super().append(rows)


async def test_callers_who_ask_again_and_again_come_to_share_one_write() -> None:
    """Half of them would else go on waiting for the write of the other half, each as often as all together."""
    sink, callers = Slow(), 16

    async def call_often(one: Writer, first: int) -> None:
        for _ in range(first):
            await asyncio.sleep(0)
        for _ in range(20):
            await one.append(call())
            await asyncio.sleep(0)  # its answer is on its way, and the next request comes

    async with writer(sink, ManualClock()) as one:
        await asyncio.gather(*(call_often(one, index % 2 * 3) for index in range(callers)))
    assert sink.groups[10:15] == [callers] * 5


async def test_whoever_comes_during_a_write_shares_the_next_one() -> None:
    sink = Gated()
    async with writer(sink, ManualClock()) as one:
        first = asyncio.create_task(one.append(call("first")))
        await sink.is_asked.wait()
        others = [asyncio.create_task(one.append(call(f"t{index}"))) for index in range(20)]
        await asyncio.sleep(0)
        sink.gate.set()
        await asyncio.gather(first, *others)
    assert sink.groups == [1, 1, 20, 1]


async def test_what_came_during_the_last_write_is_written_before_the_log_is_closed() -> None:
    sink = Gated()
    async with writer(sink, ManualClock()) as one:
        written = asyncio.create_task(one.append(call("awaited")))
        await sink.is_asked.wait()
        one.put(call("put"))
        closing = asyncio.create_task(one.close())
        await asyncio.sleep(0)
        sink.gate.set()
        await asyncio.gather(written, closing)
    assert len(sink.rows) == 4
    assert states(sink.rows[-1:]) == ["stop"]
    assert check_rows(sink.rows).is_sound


async def test_what_nobody_waits_for_shares_the_write_of_what_somebody_does() -> None:
    sink = MemorySink()
    async with writer(sink, ManualClock()) as one:
        for index in range(3):
            one.put(call(f"t{index}"))
        await one.append(call("awaited"))
        assert sink.groups == [1, 4]
        one.put(call("alone"))
        async with asyncio.timeout(5):
            while len(sink.groups) < 3:
                await asyncio.sleep(LAZY_S)
    assert sink.groups == [1, 4, 1, 1]


async def test_the_log_says_how_many_could_not_be_put_on_record_that_nobody_waited_for() -> None:
    sink = MemorySink()
    async with writer(sink, ManualClock()) as one:
        sink.failing = "the disk is full"
        with capture_logs() as logged:
            for _ in range(3):
                one.put(call())
            with pytest.raises(AuditUnavailable, match="the disk is full"):
                await one.append(call())
        sink.failing = None
    (told,) = [line for line in logged if line["event"] == "audit.not_recorded"]
    assert (told["events"], told["error"]) == (3, "the disk is full")


async def test_what_nobody_waits_for_is_written_before_the_log_is_closed() -> None:
    sink = MemorySink()
    async with writer(sink, ManualClock()) as one:
        one.put(call("last"))
    assert sink.groups == [1, 1, 1]
    assert states(sink.rows) == ["start", "stop"]


async def test_no_more_than_a_thousand_rows_lie_between_two_signatures() -> None:
    sink = MemorySink()
    async with writer(sink, ManualClock()) as one:
        await asyncio.gather(*(one.append(call()) for _ in range(3500)))
    signed = [row.sequence for row in sink.rows if row.key is not None]
    assert all(after - before <= chain.MAX_UNSIGNED for before, after in itertools.pairwise(signed))
    report = check_rows(sink.rows)
    assert report.is_sound
    assert report.verified == len(sink.rows)


async def test_a_minute_brings_a_checkpoint_also_when_nothing_happens() -> None:
    sink, clock = MemorySink(), ManualClock()
    async with writer(sink, clock) as one:
        await one.beat()
        assert states(sink.rows) == ["start"]
        clock.advance(60)
        await one.beat()
        await one.beat()
        assert states(sink.rows) == ["start", "running"]


async def test_a_failed_sink_fails_the_append_and_is_left_alone_for_a_second() -> None:
    sink, clock = MemorySink(), ManualClock()
    async with writer(sink, clock) as one:
        sink.failing = "no space left"
        with pytest.raises(AuditUnavailable, match="no space left"):
            await one.append(call())
        assert one.failure == "no space left"
        sink.failing = None
        with pytest.raises(AuditUnavailable, match="no space left"):
            await one.append(call())
        clock.advance(RETRY_S)
        assert (await one.append(call())).sequence == 2
        assert one.failure is None
    assert check_rows(sink.rows).is_sound


async def test_rows_that_were_kept_although_the_sink_failed_stay_part_of_the_chain() -> None:
    sink, clock = MemorySink(), ManualClock()
    async with writer(sink, clock) as one:
        sink.failing, sink.is_late = "the connection was lost", True
        with pytest.raises(AuditUnavailable):
            await one.append(call())
        sink.failing = None
        clock.advance(RETRY_S)
        assert (await one.append(call())).sequence == 3
    report = check_rows(sink.rows)
    assert (report.is_sound, report.rows) == (True, 4)


async def test_a_log_changed_behind_the_writer_stops_it() -> None:
    sink, clock = MemorySink(), ManualClock()
    one = writer(sink, clock)
    await one.open()
    await one.append(call())
    sink.failing = "gone"
    with pytest.raises(AuditUnavailable):
        await one.append(call())
    sink.failing = None
    del sink.rows[-1]
    clock.advance(RETRY_S)
    with pytest.raises(AuditUnavailable, match="last row kept is 1, not 2"):
        await one.append(call())
    with pytest.raises(AuditUnavailable):
        await one.close()
    assert sink.closed == 1


async def test_a_cancelled_append_leaves_its_event_on_record_and_others_alone() -> None:
    sink = MemorySink()
    async with writer(sink, ManualClock()) as one:
        tasks = [asyncio.create_task(one.append(call(f"t{index}"))) for index in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(done[1], asyncio.CancelledError)
    assert [row.sequence for row in sink.rows] == [1, 2, 3, 4, 5]


async def test_a_closed_writer_takes_nothing() -> None:
    one = writer(MemorySink(), ManualClock())
    with pytest.raises(AuditUnavailable, match="closed"):
        await one.append(call())
    async with one:
        pass
    await one.close()
    with pytest.raises(AuditUnavailable, match="closed"):
        await one.append(call())


async def test_a_writer_that_cannot_start_lets_go_of_its_sink() -> None:
    sink = MemorySink(failing="read-only")
    with pytest.raises(AuditUnavailable, match="read-only"):
        await writer(sink, ManualClock()).open()
    assert sink.closed == 1


async def test_a_sink_that_hangs_fails_the_append_in_time() -> None:
    class Hanging(MemorySink):
        gate = asyncio.Event()

        async def append(self, rows: Sequence[Stored]) -> None:
            if self.rows:
                await self.gate.wait()
            await super().append(rows)

    sink = Hanging()
    one = Writer(sink, SIGNER, server_id="web-1", clock=ManualClock(), timeout_s=0.01)
    await one.open()
    with pytest.raises(AuditUnavailable, match="not answered within"):
        await one.append(call())
    sink.gate.set()
    await one.close()
    assert check_rows(sink.rows).is_sound


async def test_the_first_entry_names_the_last_rows_of_the_others() -> None:
    sink, clock = MemorySink(), ManualClock()
    async with writer(sink, clock, "web-1") as one, writer(sink, clock, "web-2") as two:
        pass
    seal = chain.decode(by_writer(sink.rows)[two.name][0].entry).seal
    assert seal is not None
    assert [(head.writer, head.sequence) for head in seal.heads or []] == [(one.name, 1)]


async def test_checkpoints_are_shipped_and_a_failing_shipment_stops_nothing() -> None:
    shipped: list[Stored] = []

    async def ship(row: Stored) -> None:
        shipped.append(row)
        raise OSError("the pipe is closed")

    sink = MemorySink()
    async with Writer(sink, SIGNER, server_id="web-1", clock=ManualClock(), ship=ship) as one:
        await one.append(call())
    assert [row.sequence for row in shipped] == [1, 3]


def test_a_server_id_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="web/1"):
        Writer(MemorySink(), SIGNER, server_id="web/1", clock=ManualClock())
